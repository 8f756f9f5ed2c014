/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing with other processes. Device memory lives in memfds, so a handle only has to say in which process'
 * descriptor, and where in it: the importer opens /proc/PID/fd/N and maps the same bytes. The importer is
 * charged nothing.
 */
#include "cuda/core/sim.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

gs_chunk *gs_chunk_from_fd(int fd);

typedef struct ticket {
    uint32_t magic; /* "GIPC" */
    int32_t pid, fd, device;
    uint64_t start_time, file_offset, size, inside;
    uint64_t length;
} ticket;
_Static_assert(sizeof(ticket) <= CU_IPC_HANDLE_SIZE, "fits a handle");
enum { MAGIC = 0x43504947 };

static ticket ticket_of(int fd, int device)
{
    return (ticket){.magic = MAGIC, .pid = getpid(), .fd = fd, .device = device,
                    .start_time = sim.slot->start_time};
}

static int redeem(const ticket *ticket)
{
    char path[64];
    if (ticket->magic != MAGIC || gs_process_start(ticket->pid) != ticket->start_time)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", ticket->pid, ticket->fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr at)
{
    uint64_t inside = 0;
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_at(at);
    CHECK(handle && range, CUDA_ERROR_INVALID_VALUE);
    CHECK(range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL, CUDA_ERROR_INVALID_VALUE);
    const gs_chunk *chunk = range->kind == RANGE_SMALL ? gs_heap_chunk(range->heap, at, &inside) : range->chunk;
    ticket ticket = ticket_of(chunk->fd, range->device);
    ticket.file_offset = (uint64_t)chunk->offset;
    ticket.size = chunk->size;
    ticket.inside = inside;
    ticket.length = range->size;
    memset(handle, 0, sizeof *handle);
    memcpy(handle, &ticket, sizeof ticket);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *at, CUipcMemHandle handle, unsigned int flags)
{
    ticket ticket;
    ENTER(NEED_CONTEXT);
    CHECK(at && flags <= CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, CUDA_ERROR_INVALID_VALUE);
    memcpy(&ticket, &handle, sizeof ticket);
    CHECK(ticket.magic == MAGIC, CUDA_ERROR_INVALID_VALUE);
    CHECK(ticket.pid != getpid(), CUDA_ERROR_INVALID_CONTEXT); /* not in the process that made it */
    CHECK(gs_ordinal_of(ticket.device) >= 0, CUDA_ERROR_INVALID_DEVICE);
    int fd = redeem(&ticket);
    CHECK(fd >= 0, CUDA_ERROR_MAP_FAILED);
    gs_chunk *chunk = gs_chunk_import(ticket.device, ticket.size, fd, (off_t)ticket.file_offset);
    CUdeviceptr base = gs_arena_take(ticket.size, GS_GRANULE, 0);
    if (!base || !gs_chunk_map(chunk, 0, base, ticket.size, PROT_READ | PROT_WRITE)) {
        gs_chunk_drop(chunk);
        return CUDA_ERROR_MAP_FAILED;
    }
    *at = base + ticket.inside;
    gs_range_add(&(gs_range){.base = *at, .size = ticket.length, .kind = RANGE_IPC, .ctx = call.ctx,
                             .device = ticket.device, .chunk = chunk, .chunk_offset = ticket.inside});
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *at, CUipcMemHandle handle, unsigned int flags)
{
    return cuIpcOpenMemHandle_v2(at, handle, flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr at)
{
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_at(at);
    CHECK(range && range->kind == RANGE_IPC, CUDA_ERROR_INVALID_VALUE);
    gs_context_wait(&call, call.ctx);
    gs_free_imported(range);
    return CUDA_SUCCESS;
}

static CUresult map_clock(CUevent event, int fd)
{
    event->clock_fd = fd;
    event->time = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (event->time != MAP_FAILED)
        return CUDA_SUCCESS;
    close(fd);
    event->clock_fd = -1;
    event->time = &event->own_time;
    return CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult gs_event_share(CUevent event)
{
    int fd = (int)syscall(SYS_memfd_create, "simgpu-event", 1u /* MFD_CLOEXEC */);
    CHECK(fd >= 0 && ftruncate(fd, sizeof(uint64_t)) == 0, CUDA_ERROR_OPERATING_SYSTEM);
    return map_clock(event, fd);
}

void gs_event_unshare(CUevent event)
{
    if (event->clock_fd < 0)
        return;
    munmap(event->time, sizeof(uint64_t));
    close(event->clock_fd);
}

CUresult cuIpcGetEventHandle(CUipcEventHandle *handle, CUevent event)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    CHECK(handle && event->clock_fd >= 0, CUDA_ERROR_INVALID_VALUE);
    ticket ticket = ticket_of(event->clock_fd, event->ctx->device);
    memset(handle, 0, sizeof *handle);
    memcpy(handle, &ticket, sizeof ticket);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent *event, CUipcEventHandle handle)
{
    ticket ticket;
    ENTER(NEED_CONTEXT);
    CHECK(event, CUDA_ERROR_INVALID_VALUE);
    memcpy(&ticket, &handle, sizeof ticket);
    CHECK(ticket.magic == MAGIC, CUDA_ERROR_INVALID_VALUE);
    int fd = redeem(&ticket);
    CHECK(fd >= 0, CUDA_ERROR_MAP_FAILED);
    *event = gs_event_new(call.ctx, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
    return map_clock(*event, fd);
}

CUresult cuImportExternalMemory(CUexternalMemory *memory, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *from)
{
    ENTER(NEED_CONTEXT);
    CHECK(memory && from, CUDA_ERROR_INVALID_VALUE);
    CHECK(from->type == CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD, CUDA_ERROR_NOT_SUPPORTED);
    gs_chunk *chunk = gs_chunk_from_fd(from->handle.fd);
    CHECK(chunk, CUDA_ERROR_INVALID_VALUE);
    close(from->handle.fd); /* a successful import takes the descriptor over */
    *memory = (CUexternalMemory)chunk;
    return CUDA_SUCCESS;
}

CUresult cuExternalMemoryGetMappedBuffer(CUdeviceptr *at, CUexternalMemory memory,
                                         const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *what)
{
    ENTER(NEED_CONTEXT);
    gs_chunk *chunk = (gs_chunk *)memory;
    CHECK(gs_handle_is(chunk, KIND_CHUNK), CUDA_ERROR_INVALID_HANDLE);
    CHECK(at && what && what->size && what->offset + what->size <= chunk->size, CUDA_ERROR_INVALID_VALUE);
    CUdeviceptr base = gs_arena_take(chunk->size, GS_GRANULE, 0);
    CHECK(base && gs_chunk_map(chunk, 0, base, chunk->size, PROT_READ | PROT_WRITE), CUDA_ERROR_MAP_FAILED);
    chunk->refs++;
    *at = base + what->offset;
    gs_range_add(&(gs_range){.base = *at, .size = what->size, .kind = RANGE_IPC, .ctx = call.ctx,
                             .device = chunk->device, .chunk = chunk, .chunk_offset = what->offset});
    return CUDA_SUCCESS;
}

CUresult cuDestroyExternalMemory(CUexternalMemory memory)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(memory, KIND_CHUNK), CUDA_ERROR_INVALID_HANDLE);
    gs_chunk_drop((gs_chunk *)memory);
    return CUDA_SUCCESS;
}
