/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/ipc_export.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"

static const char NAME[] = "gpushare-ipc";

enum { NAP_US = 10000 };

static_assert(sizeof(struct gs_ticket) == CU_IPC_HANDLE_SIZE, "a ticket fits into an IPC handle");

struct gs_ipc_export {
    uint64_t id;
};

/* The socket; guarded by the lock of the blocks until the server runs. */
static struct gs_fd_name name;
static int listener = -1;
static bool serving;

/* Needs the lock of the blocks. */
static struct gs_block *exported(uint64_t id)
{
    struct gs_block *block;
    for (size_t n = 0; (block = gs_block_number(n)); n++)
        if (block->ipc_export && block->ipc_export->id == id)
            return block;
    return NULL;
}

/* A descriptor for a chunk, or -1; *bytes is 0 when there is no such chunk. */
static int chunk_descriptor(uint64_t id, unsigned number, uint64_t *bytes)
{
    int fd = -1;
    *bytes = 0;
    gs_enter();
    gs_blocks_lock();
    const struct gs_block *block = exported(id);
    if (block && number < block->count
        && cuda()->cuMemExportToShareableHandle(&fd, block->chunk[number].handle,
                                                CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0)
               == CUDA_SUCCESS)
        *bytes = block->chunk[number].bytes;
    gs_blocks_unlock();
    gs_leave();
    return fd;
}

/* One chunk after the other, so that a slow importer holds no lock. */
static void answer(int peer)
{
    struct gs_ipc_request request;
    struct gs_ipc_chunk chunk;
    int none;
    bool sound =
        gs_fd_receive(peer, &request, sizeof request, &none) && request.magic == GS_TICKET_MAGIC;
    if (none >= 0)
        close(none);
    for (unsigned number = 0; sound; number++) {
        int fd = chunk_descriptor(request.id, number, &chunk.bytes);
        sound = fd >= 0 && gs_fd_send(peer, &chunk, sizeof chunk, fd);
        if (fd >= 0)
            close(fd);
    }
}

/* The program may have closed every descriptor that it does not know. */
static bool listens(void)
{
    if (listener < 0 || !gs_fd_bound(listener, &name))
        listener = gs_fd_listen(&name);
    return listener >= 0;
}

static void serve_one(void)
{
    int peer = gs_fd_accept(listener);
    if (peer >= 0) {
        listens(); /* before the answer, after which the next importer may ask */
        answer(peer);
        close(peer);
    } else if (errno != EPERM && gs_fd_bound(listener, &name)) {
        usleep(NAP_US); /* no descriptor is free */
    }
}

/* Never ends: descriptors get free, and a child that has the old socket closes it. */
static void *serve(void *nothing)
{
    (void)nothing;
    prctl(PR_SET_NAME, NAME);
    for (;;) {
        if (listens())
            serve_one();
        else
            usleep(NAP_US);
    }
    return nothing;
}

/* Needs the lock of the blocks. */
static bool serves(void)
{
    if (serving)
        return true;
    serving =
        gs_fd_name_make(&name) && listens() && gs_thread_start_detached(NAME, serve, NULL) == 0;
    if (!serving)
        gs_log("cannot listen for importers of memory: %s", strerror(errno));
    return serving;
}

static uint64_t fresh_id(void)
{
    static uint64_t newest;
    return __atomic_add_fetch(&newest, 1, __ATOMIC_RELAXED);
}

static CUresult begin(struct gs_block *block)
{
    struct gs_ipc_export *ipc_export = serves() ? calloc(1, sizeof *ipc_export) : NULL;
    if (!ipc_export)
        return CUDA_ERROR_OPERATING_SYSTEM;
    ipc_export->id = fresh_id();
    block->ipc_export = ipc_export;
    gs_unmovable_add(GS_UNMOVABLE_EXPORTED);
    return CUDA_SUCCESS;
}

CUresult gs_ipc_export_block(struct gs_block *block, uint64_t offset, uint64_t asked,
                             struct gs_ticket *ticket)
{
    CUresult result = block->ipc_export ? CUDA_SUCCESS : begin(block);
    if (result == CUDA_SUCCESS)
        *ticket = (struct gs_ticket){.magic = GS_TICKET_MAGIC,
                                     .exporter = name,
                                     .id = block->ipc_export->id,
                                     .bytes = block->bytes,
                                     .offset = offset,
                                     .asked = asked,
                                     .count = block->count};
    return result;
}

void gs_ipc_unexport(struct gs_block *block)
{
    if (!block->ipc_export)
        return;
    free(block->ipc_export);
    block->ipc_export = NULL;
    gs_unmovable_drop(GS_UNMOVABLE_EXPORTED);
}

bool gs_ipc_is_ours(const struct gs_ticket *ticket)
{
    gs_blocks_lock();
    bool ours = serving && memcmp(&ticket->exporter, &name, sizeof name) == 0;
    gs_blocks_unlock();
    return ours;
}

void gs_ipc_exports_forget(void)
{
    if (listener >= 0 && gs_fd_bound(listener, &name))
        close(listener);
    listener = -1;
    serving = false;
    memset(&name, 0, sizeof name);
}
