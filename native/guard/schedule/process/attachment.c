/* SPDX-License-Identifier: Apache-2.0 */
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
static struct gs_attachment *newest[GS_GPUS]; /* NULL: still the first one */
static uint64_t
    refused[GS_GPUS];       /* the region's moves plus one at which no GPU page could be had */

static struct gs_attachment *attachment_of(int gpu)
{
    struct gs_attachment *attachment = __atomic_load_n(&newest[gpu], __ATOMIC_ACQUIRE);
    return attachment ? attachment : &first[gpu];
}

/* Read with every launch, on the line of the limit, which is hardly ever written. */
static uint64_t moves_of(int gpu)
{
    return __atomic_load_n(&gs_shared_region()->gpu[gpu].moves, __ATOMIC_RELAXED);
}

static bool states(const struct gs_attachment *attachment, int gpu)
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

/* The pages that hold the gate, registered so that every context's streams can wait for it. */
static CUdeviceptr visible_to_gpu(uint32_t *gate)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)gate / page * page;
    CUdeviceptr start = 0;
    unsigned flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    CUresult result = cuda()->cuMemHostRegister_v2((void *)at, page, flags);
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        result = cuda()->cuMemHostGetDevicePointer_v2(&start, (void *)at, 0);
    if (result != CUDA_SUCCESS) {
        gs_log("the GPU cannot see its page (%d); the host waits in its stead", (int)result);
        return 0;
    }
    return start + ((uintptr_t)gate - at);
}

/* Once on each GPU page: threads may be counted in its process slot. */
static bool mount(struct gs_attachment *attachment, int gpu, uint64_t slot)
{
    attachment->page = open_page(gs_shared_region()->gpu[gpu].uuid);
    if (!attachment->page)
        return false;
    attachment->slot_number = gs_gpu_page_join(attachment->page, (uint32_t)slot - 1);
    if (attachment->slot_number < 0) {
        gs_log("the GPU page has no room for this process; it takes no turns");
        return false;
    }
    attachment->share = &attachment->page->share_slot[slot - 1];
    attachment->process = &attachment->page->process_slot[attachment->slot_number];
    attachment->gpu = gpu;
    attachment->moves = moves_of(gpu);
    return true;
}

/*
 * The share's memory has come to another GPU, and so has the process. The old attachment is kept as
 * it is, because threads may still be using it; a fence that one of them still puts in looks at a
 * share slot that is free.
 */
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
    attachment->gate = visible_to_gpu(&attachment->share->gate);
    cuda()->cuCtxGetCurrent(&attachment->context);
    return true;
}

static bool is_refused(int gpu)
{
    return __atomic_load_n(&refused[gpu], __ATOMIC_RELAXED) == moves_of(gpu) + 1;
}

/* Wants the lock. */
static struct gs_attachment *find_page(int gpu)
{
    struct gs_attachment *attachment = attachment_of(gpu);
    uint64_t moves = moves_of(gpu), slot = gs_shared_region()->gpu[gpu].share_slot;
    if (attachment->process && attachment->moves != moves)
        attachment = change_pages(gpu, attachment);
    if (states(attachment, gpu))
        return attachment;
    bool found = slot > 0 && slot <= GS_SHARE_SLOTS && attach(attachment, gpu, slot);
    if (!found)
        __atomic_store_n(&refused[gpu], moves + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&attachment->ready, found, __ATOMIC_RELEASE);
    return found ? attachment : NULL;
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
    if (states(attachment, gpu))
        return attachment;
    /* Pinning memory would spoil a capture (driver 580: error 900 for it, 901 for the capture). */
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

/* The parent's process slot stays the parent's. */
void gs_attachments_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(refused, 0, sizeof refused);
    memset(newest, 0, sizeof newest);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        first[gpu] = (struct gs_attachment){.busy_period.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* A clean end opens at once what others would have to find out. */
__attribute__((destructor)) static void end(void)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        for (struct gs_attachment *attachment = attachment_of(gpu); attachment;
             attachment = attachment->previous)
            if (attachment->process && attachment->process->pid == getpid())
                gs_gpu_page_leave(attachment->page, attachment->slot_number);
}
