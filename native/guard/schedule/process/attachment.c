/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching this process to the GPU pages of its GPUs.
 *
 * Model. The first launch on a GPU maps the GPU page (the file in GPUSHARE_BOARDS named by the
 * UUID), takes a process slot, and registers the memory of the gate with the driver, so that
 * streams of every context can wait for it. A later launch finds it with two loads. A share that
 * migrates has another UUID and a larger `moves` in the region: the next launch attaches again, to
 * the other page.
 *
 * Invariants:
 * 1. `ready` is set last; an attachment that is ready and whose `moves` is the region's is valid
 *    for this launch.
 * 2. A process takes one process slot per page and keeps it until it ends, because threads are
 *    counted in it.
 * 3. An attachment is never freed or reused for another page: a thread may still use it. A fence of
 *    such a thread waits for a share slot that is free, so it is open.
 * 4. A page that cannot be used is refused once per `moves`, and launches then run ungated.
 * 5. Attaching never happens during a capture, which registering memory would invalidate.
 */
#include "schedule/process/attachment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "charge/device.h"
#include "driver/capture_state.h"
#include "schedule/process/timer_thread.h"
#include "share/attach.h"

bool gs_gate_armed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_attachment first[GS_GPUS] = {
    [0 ... GS_GPUS - 1] = {.busy_period.lock = PTHREAD_MUTEX_INITIALIZER}};
static struct gs_attachment *newest[GS_GPUS]; /* NULL: the first one */
static uint64_t refused[GS_GPUS];       /* `moves` + 1 for which no GPU page could be used */

static struct gs_attachment *attachment_of(int gpu)
{
    struct gs_attachment *attachment = __atomic_load_n(&newest[gpu], __ATOMIC_ACQUIRE);
    return attachment ? attachment : &first[gpu];
}

/* Read at every launch; its cache line is rarely written. */
static uint64_t moves_of(int gpu)
{
    return __atomic_load_n(&gs_shared_region()->gpu[gpu].moves, __ATOMIC_RELAXED);
}

static bool is_current(const struct gs_attachment *attachment, int gpu)
{
    return __atomic_load_n(&attachment->ready, __ATOMIC_ACQUIRE)
           && attachment->moves == moves_of(gpu);
}

void gs_attachments_start(void)
{
    const struct gs_region *region = gs_shared_region();
    const char *folder = getenv("GPUSHARE_BOARDS");
    for (uint32_t g = 0; region && folder && *folder && g < region->gpu_count; g++)
        if (region->gpu[g].share_slot > 0 && region->gpu[g].share_slot <= GS_SHARE_SLOTS)
            gs_gate_armed = true;
}

static struct gs_gpu_page *open_page(const char *uuid)
{
    char path[4096];
    const char *folder = getenv("GPUSHARE_BOARDS");
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, uuid) >= (int)sizeof path)
        return NULL;
    struct gs_gpu_page *page = gs_gpu_page_map(path);
    if (!page)
        gs_log("cannot map the GPU page %s: %s; this process takes no turns", path,
               strerror(errno));
    return page;
}

/* Registers the memory of the gate, so that streams of every context can wait for it. */
static CUdeviceptr register_gate(uint32_t *gate)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)gate / page * page;
    CUdeviceptr start = 0;
    unsigned flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    CUresult result = cuda()->cuMemHostRegister_v2((void *)at, page, flags);
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        result = cuda()->cuMemHostGetDevicePointer_v2(&start, (void *)at, 0);
    if (result != CUDA_SUCCESS) {
        gs_log("cannot register the GPU page (error %d); launches wait on the host", (int)result);
        return 0;
    }
    return start + ((uintptr_t)gate - at);
}

/* Invariant 2: once per GPU page. */
static bool mount(struct gs_attachment *attachment, int gpu, uint64_t slot)
{
    attachment->page = open_page(gs_shared_region()->gpu[gpu].uuid);
    if (!attachment->page)
        return false;
    attachment->slot_number = gs_gpu_page_join(attachment->page, (uint32_t)slot - 1);
    if (attachment->slot_number < 0) {
        gs_log("all process slots of the GPU page are in use; this process takes no turns");
        return false;
    }
    attachment->share = &attachment->page->share_slot[slot - 1];
    attachment->process = &attachment->page->process_slot[attachment->slot_number];
    attachment->gpu = gpu;
    attachment->moves = moves_of(gpu);
    return true;
}

/* After a migration. Invariant 3. */
static struct gs_attachment *change_pages(int gpu, struct gs_attachment *old)
{
    struct gs_attachment *attachment = calloc(1, sizeof *attachment);
    if (!attachment)
        return old;
    gs_gpu_page_retire(old->page, old->slot_number);
    attachment->busy_period.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    attachment->previous = old;
    __atomic_store_n(&newest[gpu], attachment, __ATOMIC_RELEASE);
    return attachment;
}

static bool attach(struct gs_attachment *attachment, int gpu, uint64_t slot)
{
    if (!attachment->process && !mount(attachment, gpu, slot))
        return false;
    attachment->gate = register_gate(&attachment->share->gate);
    cuda()->cuCtxGetCurrent(&attachment->context);
    return true;
}

static bool is_refused(int gpu)
{
    return __atomic_load_n(&refused[gpu], __ATOMIC_RELAXED) == moves_of(gpu) + 1;
}

/* Needs the lock. */
static struct gs_attachment *find_page(int gpu)
{
    struct gs_attachment *attachment = attachment_of(gpu);
    uint64_t moves = moves_of(gpu), slot = gs_shared_region()->gpu[gpu].share_slot;
    if (attachment->process && attachment->moves != moves)
        attachment = change_pages(gpu, attachment);
    if (is_current(attachment, gpu))
        return attachment;
    bool attached = slot > 0 && slot <= GS_SHARE_SLOTS && attach(attachment, gpu, slot);
    if (!attached)
        __atomic_store_n(&refused[gpu], moves + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&attachment->ready, attached, __ATOMIC_RELEASE);
    return attached ? attachment : NULL;
}

static struct gs_attachment *set_up(int gpu)
{
    pthread_mutex_lock(&lock);
    struct gs_attachment *attachment = is_refused(gpu) ? NULL : find_page(gpu);
    pthread_mutex_unlock(&lock);
    return attachment;
}

static int current_gpu(void)
{
    CUdevice device;
    if (gs_shared_region()->gpu_count == 1
        && __atomic_load_n(&attachment_of(0)->ready, __ATOMIC_ACQUIRE))
        return 0;
    return cuda()->cuCtxGetDevice(&device) == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
}

struct gs_attachment *gs_attachment_here(void)
{
    int gpu = current_gpu();
    if (gpu < 0 || is_refused(gpu))
        return NULL;
    struct gs_attachment *attachment = attachment_of(gpu);
    if (is_current(attachment, gpu))
        return attachment;
    /* Invariant 5. Driver 580 returns error 900, and 901 for the capture. */
    return gs_capturing() ? NULL : set_up(gpu);
}

struct gs_attachment *gs_attachment_of(int gpu)
{
    struct gs_attachment *attachment = attachment_of(gpu);
    return __atomic_load_n(&attachment->ready, __ATOMIC_ACQUIRE) ? attachment : NULL;
}

void gs_attachments_context_ends(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (attachment_of(gpu)->ready && attachment_of(gpu)->context == context)
            __atomic_store_n(&attachment_of(gpu)->ready, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

void gs_attachments_drain(bool drains)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (gs_attachment_of(gpu)) {
            __atomic_store_n(&attachment_of(gpu)->process->draining, drains, __ATOMIC_SEQ_CST);
            gs_timer_thread_hurry();
        }
}

/* The process slot belongs to the parent. */
void gs_attachments_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(refused, 0, sizeof refused);
    memset(newest, 0, sizeof newest);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        first[gpu] = (struct gs_attachment){.busy_period.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* At the end of the program, so that other processes need not wait until it counts as silent. */
__attribute__((destructor)) static void end(void)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        for (struct gs_attachment *attachment = attachment_of(gpu); attachment;
             attachment = attachment->previous)
            if (attachment->process && attachment->process->pid == getpid())
                gs_gpu_page_leave(attachment->page, attachment->slot_number);
}
