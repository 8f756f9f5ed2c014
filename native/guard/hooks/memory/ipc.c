/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of other processes by IPC handles: those of the driver, and tickets for blocks. */
#include "hooks/memory/ipc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "charge/unmovable.h"
#include "driver/capture_state.h"
#include "driver/quiesce.h"
#include "hooks/setup/context.h"
#include "swap/blocks/heap.h"
#include "swap/blocks/ipc_export.h"

struct opened {
    struct gs_ticket ticket;
    CUdeviceptr base;
    unsigned times;
    struct opened *next;
    CUmemGenericAllocationHandle handle[]; /* one per chunk */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct opened *first;

static void unmap(struct opened *opened, unsigned chunks, uint64_t bytes)
{
    if (bytes)
        cuda()->cuMemUnmap(opened->base, bytes);
    for (unsigned i = 0; i < chunks; i++)
        cuda()->cuMemRelease(opened->handle[i]);
    cuda()->cuMemAddressFree(opened->base, opened->ticket.bytes);
}

/* The exporter is not trusted: a chunk must be whole pages and fit into what is left. */
static CUresult receive_chunk(int peer, uint64_t left, struct gs_ipc_chunk *chunk,
                              CUmemGenericAllocationHandle *handle)
{
    int fd;
    bool sound = gs_fd_receive(peer, chunk, sizeof *chunk, &fd) && fd >= 0 && chunk->bytes
                 && chunk->bytes % GS_PAGE == 0 && chunk->bytes <= left;
    CUresult result = CUDA_ERROR_MAP_FAILED;
    if (sound)
        result = cuda()->cuMemImportFromShareableHandle(handle, (void *)(intptr_t)fd,
                                                        CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    else
        gs_log("cannot open the memory of another process: it sends no descriptor");
    if (fd >= 0)
        close(fd);
    return result;
}

static CUresult map_chunk(struct opened *opened, unsigned number, int peer, uint64_t *at)
{
    struct gs_ipc_chunk chunk;
    CUresult result =
        receive_chunk(peer, opened->ticket.bytes - *at, &chunk, &opened->handle[number]);
    if (result != CUDA_SUCCESS)
        return result;
    result = cuda()->cuMemMap(opened->base + *at, chunk.bytes, 0, opened->handle[number], 0);
    if (result == CUDA_SUCCESS)
        *at += chunk.bytes;
    else
        cuda()->cuMemRelease(opened->handle[number]);
    return result;
}

static CUresult map_chunks(struct opened *opened, int peer)
{
    uint64_t at = 0;
    CUdevice device = 0;
    CUresult result = cuda()->cuCtxGetDevice(&device);
    unsigned done = 0;
    while (result == CUDA_SUCCESS && done < opened->ticket.count) {
        result = map_chunk(opened, done, peer, &at);
        done += result == CUDA_SUCCESS;
    }
    if (result == CUDA_SUCCESS && at != opened->ticket.bytes)
        result = CUDA_ERROR_MAP_FAILED;
    if (result == CUDA_SUCCESS)
        result = gs_chunks_open(opened->base, at, device);
    if (result != CUDA_SUCCESS)
        unmap(opened, done, at);
    return result;
}

/* A socket that answers with the chunks, or -1. */
static int ask(const struct gs_ticket *ticket)
{
    struct gs_ipc_request request = {GS_TICKET_MAGIC, ticket->id};
    int peer = gs_fd_ask(&ticket->exporter, &request, sizeof request);
    if (peer < 0)
        gs_log("cannot open the memory of another process: %s", strerror(errno));
    return peer;
}

static CUresult map(struct opened *opened)
{
    int peer = ask(&opened->ticket);
    if (peer < 0)
        return CUDA_ERROR_MAP_FAILED;
    CUresult result =
        cuda()->cuMemAddressReserve(&opened->base, opened->ticket.bytes, GS_PAGE, 0, 0);
    if (result == CUDA_SUCCESS)
        result = map_chunks(opened, peer);
    close(peer);
    return result;
}

/* A ticket comes from another process, which need not be the exporter. */
static bool is_sound(const struct gs_ticket *ticket)
{
    return ticket->bytes && ticket->bytes % GS_PAGE == 0 && ticket->offset < ticket->bytes
           && ticket->count == (ticket->bytes + GS_CHUNK - 1) / GS_CHUNK;
}

/* Needs the lock. */
static struct opened *find_opened(const struct gs_ticket *ticket)
{
    struct opened *opened = first;
    while (opened && memcmp(&opened->ticket, ticket, sizeof *ticket) != 0)
        opened = opened->next;
    return opened;
}

/* Needs the lock. */
static CUresult open_ticket(CUdeviceptr *pointer, const struct gs_ticket *ticket)
{
    struct opened *opened = find_opened(ticket);
    if (gs_ipc_is_ours(ticket))
        return CUDA_ERROR_INVALID_CONTEXT; /* as the driver does in the exporting process */
    if (!is_sound(ticket))
        return CUDA_ERROR_INVALID_VALUE;
    if (!opened) {
        opened = calloc(1, sizeof *opened + ticket->count * sizeof *opened->handle);
        if (!opened)
            return CUDA_ERROR_OUT_OF_MEMORY;
        opened->ticket = *ticket;
        CUresult result = map(opened);
        if (result != CUDA_SUCCESS) {
            free(opened);
            return result;
        }
        opened->next = first;
        first = opened;
        gs_unmovable_add(GS_UNMOVABLE_IMPORTED);
    }
    opened->times++;
    *pointer = opened->base + ticket->offset;
    return CUDA_SUCCESS;
}

/* Handles of the driver are counted only. */
static CUresult native_opened(CUresult result)
{
    if (result == CUDA_SUCCESS && gs_movable())
        gs_unmovable_add(GS_UNMOVABLE_IMPORTED);
    return result;
}

static bool ours(const CUipcMemHandle *handle, struct gs_ticket *ticket)
{
    memcpy(ticket, handle, sizeof *ticket);
    return ticket->magic == GS_TICKET_MAGIC;
}

static CUresult open_handle(CUdeviceptr *pointer, const struct gs_ticket *ticket)
{
    gs_enter();
    pthread_mutex_lock(&lock);
    CUresult result = pointer ? open_ticket(pointer, ticket) : CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_unlock(&lock);
    gs_leave();
    return result;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *pointer, CUipcMemHandle handle, unsigned int flags)
{
    struct gs_ticket ticket;
    return ours(&handle, &ticket)
               ? open_handle(pointer, &ticket)
               : native_opened(cuda()->cuIpcOpenMemHandle(pointer, handle, flags));
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *pointer, CUipcMemHandle handle, unsigned int flags)
{
    struct gs_ticket ticket;
    return ours(&handle, &ticket)
               ? open_handle(pointer, &ticket)
               : native_opened(cuda()->cuIpcOpenMemHandle_v2(pointer, handle, flags));
}

/* Takes a mapping out of the list at its last closing. False when the pointer is of no ticket. */
static bool take(CUdeviceptr pointer, struct opened **last)
{
    pthread_mutex_lock(&lock);
    struct opened **link = &first;
    while (*link && (*link)->base + (*link)->ticket.offset != pointer)
        link = &(*link)->next;
    struct opened *opened = *link;
    *last = opened && --opened->times == 0 ? opened : NULL;
    if (*last)
        *link = opened->next;
    pthread_mutex_unlock(&lock);
    return opened != NULL;
}

/* Queued work may still use the memory. The driver's own closing waits for it; unmapping does not. */
static void finish(struct opened *opened)
{
    if (!gs_capturing())
        gs_contexts_wait();
    unmap(opened, opened->ticket.count, opened->ticket.bytes);
    free(opened);
    gs_unmovable_drop(GS_UNMOVABLE_IMPORTED);
}

static CUresult close_native(CUdeviceptr pointer)
{
    CUresult result = cuda()->cuIpcCloseMemHandle(pointer);
    if (result == CUDA_SUCCESS && gs_movable())
        gs_unmovable_drop(GS_UNMOVABLE_IMPORTED);
    return result;
}

CUresult cuIpcCloseMemHandle(CUdeviceptr pointer)
{
    struct opened *last;
    gs_enter();
    CUresult result = take(pointer, &last) ? CUDA_SUCCESS : close_native(pointer);
    if (last)
        finish(last);
    gs_leave();
    return result;
}

bool gs_ipc_find(CUdeviceptr address, CUdeviceptr *at, uint64_t *bytes)
{
    if (!__atomic_load_n(&first, __ATOMIC_RELAXED))
        return false;
    pthread_mutex_lock(&lock);
    const struct opened *opened = first;
    while (opened && address - opened->base - opened->ticket.offset >= opened->ticket.asked)
        opened = opened->next;
    if (opened) {
        *at = opened->base + opened->ticket.offset;
        *bytes = opened->ticket.asked;
    }
    pthread_mutex_unlock(&lock);
    return opened != NULL;
}

static CUresult make_ticket(CUipcMemHandle *handle, const struct gs_allocation *allocation)
{
    struct gs_ticket ticket;
    gs_blocks_lock();
    struct gs_block *block = gs_block_at(allocation->at);
    uint64_t offset = block ? allocation->at - block->at : 0;
    CUresult result = block ? gs_ipc_export_block(block, offset, allocation->bytes, &ticket)
                            : CUDA_ERROR_INVALID_VALUE;
    gs_blocks_unlock();
    if (result == CUDA_SUCCESS)
        memcpy(handle, &ticket, sizeof ticket);
    return result;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr pointer)
{
    struct gs_allocation allocation;
    gs_enter();
    bool block = handle && gs_heap_find(pointer, &allocation);
    CUresult result =
        block ? make_ticket(handle, &allocation) : cuda()->cuIpcGetMemHandle(handle, pointer);
    gs_leave();
    return result;
}

void gs_ipc_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    first = NULL;
}
