/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of other processes by IPC handles: those of the driver, and tickets for blocks. */
#include "hooks/memory/ipc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/process.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "swap/blocks/heap.h"
#include "swap/blocks/ipc_export.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

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

static CUresult map_chunk(struct opened *opened, unsigned number, uint64_t at, int pidfd,
                          const struct gs_ipc_chunk *chunk)
{
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, chunk->fd, 0);
    if (fd < 0)
        return CUDA_ERROR_MAP_FAILED;
    CUresult result =
        cuda()->cuMemImportFromShareableHandle(&opened->handle[number], (void *)(intptr_t)fd,
                                               CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    close(fd);
    if (result != CUDA_SUCCESS)
        return result;
    result = cuda()->cuMemMap(opened->base + at, chunk->bytes, 0, opened->handle[number], 0);
    if (result != CUDA_SUCCESS)
        cuda()->cuMemRelease(opened->handle[number]);
    return result;
}

static CUresult map_chunks(struct opened *opened, int pidfd, const struct gs_ipc_chunk *chunk)
{
    uint64_t at = 0;
    CUdevice device = 0;
    CUresult result = cuda()->cuCtxGetDevice(&device);
    unsigned done = 0;
    while (result == CUDA_SUCCESS && done < opened->ticket.count) {
        result = map_chunk(opened, done, at, pidfd, &chunk[done]);
        if (result == CUDA_SUCCESS)
            at += chunk[done++].bytes;
    }
    CUmemAccessDesc us = {{CU_MEM_LOCATION_TYPE_DEVICE, device},
                          CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    if (result == CUDA_SUCCESS)
        result = cuda()->cuMemSetAccess(opened->base, at, &us, 1);
    if (result != CUDA_SUCCESS)
        unmap(opened, done, at);
    return result;
}

/* Reads the list of chunks in the exporter. Both are untrusted, so it has to match the ticket. */
static struct gs_ipc_chunk *fetch_list(const struct gs_ticket *ticket, int pidfd)
{
    size_t bytes = ticket->count * sizeof(struct gs_ipc_chunk);
    struct gs_ipc_chunk *list = malloc(bytes ? bytes : 1);
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, ticket->list, 0);
    uint64_t sum = 0;
    bool whole = list && fd >= 0 && pread(fd, list, bytes, 0) == (ssize_t)bytes;
    for (unsigned i = 0; whole && i < ticket->count; i++)
        sum += list[i].bytes;
    if (fd >= 0)
        close(fd);
    if (whole && sum == ticket->bytes)
        return list;
    free(list);
    return NULL;
}

static CUresult map(struct opened *opened)
{
    int pidfd = (int)syscall(SYS_pidfd_open, opened->ticket.pid, 0);
    bool same = pidfd >= 0 && gs_process_start(opened->ticket.pid) == opened->ticket.start;
    struct gs_ipc_chunk *list = same ? fetch_list(&opened->ticket, pidfd) : NULL;
    CUresult result =
        list ? cuda()->cuMemAddressReserve(&opened->base, opened->ticket.bytes, GS_PAGE, 0, 0)
             : CUDA_ERROR_MAP_FAILED;
    if (result == CUDA_SUCCESS)
        result = map_chunks(opened, pidfd, list);
    if (pidfd >= 0)
        close(pidfd);
    free(list);
    return result;
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
    if (ticket->pid == getpid())
        return CUDA_ERROR_INVALID_CONTEXT; /* as the driver does in the exporting process */
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

/* False when the pointer is not of a ticket. Needs the lock. */
static bool close_pointer(CUdeviceptr pointer)
{
    struct opened **link = &first;
    while (*link && (*link)->base + (*link)->ticket.offset != pointer)
        link = &(*link)->next;
    struct opened *opened = *link;
    if (!opened)
        return false;
    if (--opened->times)
        return true;
    *link = opened->next;
    unmap(opened, opened->ticket.count, opened->ticket.bytes);
    free(opened);
    gs_unmovable_drop(GS_UNMOVABLE_IMPORTED);
    return true;
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
    gs_enter();
    pthread_mutex_lock(&lock);
    bool closed = close_pointer(pointer);
    pthread_mutex_unlock(&lock);
    CUresult result = closed ? CUDA_SUCCESS : close_native(pointer);
    gs_leave();
    return result;
}

static CUresult make_ticket(CUipcMemHandle *handle, const struct gs_allocation *allocation)
{
    struct gs_ticket ticket;
    gs_blocks_lock();
    struct gs_block *block = gs_block_at(allocation->at);
    uint64_t offset = block ? allocation->at - block->at : 0;
    CUresult result =
        block ? gs_ipc_export_block(block, offset, &ticket) : CUDA_ERROR_INVALID_VALUE;
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
