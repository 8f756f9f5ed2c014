/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry points that share device memory with other processes. The importer is not charged. The GPU
 * need not be visible to it (measured on two H200, driver 580).
 */
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/allocation.h"
#include "cuda/memory/heap.h"
#include "cuda/memory/ipc_handle.h"
#include "cuda/stream/wait.h"

#include <unistd.h>

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr at)
{
    uint64_t inside = 0;
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_at(at);
    CHECK(handle && range, CUDA_ERROR_INVALID_VALUE);
    CHECK(range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL, CUDA_ERROR_INVALID_VALUE);
    const gs_chunk *chunk =
        range->kind == RANGE_SMALL ? gs_heap_chunk(range->heap, at, &inside) : range->chunk;
    gs_ipc_handle exported = gs_ipc_handle_of(chunk->fd, range->device);
    exported.file_offset = (uint64_t)chunk->offset;
    exported.size = chunk->size;
    exported.inside = inside;
    exported.length = range->size;
    memset(handle, 0, sizeof *handle);
    memcpy(handle, &exported, sizeof exported);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *at, CUipcMemHandle handle, unsigned int flags)
{
    gs_ipc_handle imported;
    CUdeviceptr base;
    ENTER(NEED_CONTEXT);
    CHECK(at && flags <= CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, CUDA_ERROR_INVALID_VALUE);
    CHECK(gs_ipc_handle_read(&imported, &handle), CUDA_ERROR_INVALID_VALUE);
    /* Not in the process that exported it. */
    CHECK(imported.pid != getpid(), CUDA_ERROR_INVALID_CONTEXT);
    int fd = gs_ipc_handle_open(&imported);
    CHECK(fd >= 0, CUDA_ERROR_MAP_FAILED);
    gs_chunk *chunk =
        gs_chunk_import(imported.device, imported.size, fd, (off_t)imported.file_offset);
    CHECK(gs_chunk_place(chunk, &base), CUDA_ERROR_MAP_FAILED);
    *at = gs_range_import(call.ctx, chunk, base, imported.inside, imported.length)->base;
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
    gs_context_wait(call.ctx);
    gs_free_imported(range);
    return CUDA_SUCCESS;
}

CUresult cuImportExternalMemory(CUexternalMemory *memory,
                                const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *from)
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
    CUdeviceptr base;
    ENTER(NEED_CONTEXT);
    gs_chunk *chunk = (gs_chunk *)memory;
    CHECK(gs_handle_is(chunk, KIND_CHUNK), CUDA_ERROR_INVALID_HANDLE);
    CHECK(at && what && what->size && what->offset + what->size <= chunk->size,
          CUDA_ERROR_INVALID_VALUE);
    chunk->refs++;
    CHECK(gs_chunk_place(chunk, &base), CUDA_ERROR_MAP_FAILED);
    *at = gs_range_import(call.ctx, chunk, base, what->offset, what->size)->base;
    return CUDA_SUCCESS;
}

CUresult cuDestroyExternalMemory(CUexternalMemory memory)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(memory, KIND_CHUNK), CUDA_ERROR_INVALID_HANDLE);
    gs_chunk_drop((gs_chunk *)memory);
    return CUDA_SUCCESS;
}
