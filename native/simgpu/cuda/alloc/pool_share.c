/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools shared between processes. All pool memory of a process is in one memfd, so the shareable
 * handle of a pool is that descriptor, and an exported pointer is an offset in it. The importer is
 * not charged.
 */
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/pool.h"
#include "cuda/memory/range.h"

#include <fcntl.h>
#include <unistd.h>

typedef struct exported {
    uint32_t magic; /* "GPTR" */
    int32_t device;
    uint64_t offset, chunk_size, inside, length;
} exported;
_Static_assert(sizeof(exported) <= sizeof(CUmemPoolPtrExportData), "fits the handle");
enum { MAGIC = 0x52545047 };

CUresult cuMemPoolExportToShareableHandle(void *out, CUmemoryPool pool,
                                          CUmemAllocationHandleType type, unsigned long long flags)
{
    ENTER(NEED_INIT);
    CHECK(out && gs_handle_is(pool, KIND_POOL) && flags == 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && gs_pool_exportable(pool),
          CUDA_ERROR_INVALID_VALUE);
    int fd = fcntl(gs_chunk_file(), F_DUPFD_CLOEXEC, 0);
    CHECK(fd >= 0, CUDA_ERROR_OPERATING_SYSTEM);
    *(int *)out = fd;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *pool, void *handle,
                                            CUmemAllocationHandleType type,
                                            unsigned long long flags)
{
    char path[64], name[64] = "";
    ENTER(NEED_INIT);
    CHECK(pool && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && flags == 0,
          CUDA_ERROR_INVALID_VALUE);
    snprintf(path, sizeof path, "/proc/self/fd/%d", (int)(intptr_t)handle);
    CHECK(readlink(path, name, sizeof name - 1) > 0 && strncmp(name, "/memfd:simgpu-heap", 18) == 0,
          CUDA_ERROR_INVALID_VALUE);
    int fd = fcntl((int)(intptr_t)handle, F_DUPFD_CLOEXEC, 0);
    CHECK(fd >= 0, CUDA_ERROR_OPERATING_SYSTEM);
    *pool = gs_pool_import(fd);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData *out, CUdeviceptr at)
{
    uint64_t inside;
    ENTER(NEED_INIT);
    gs_range *range = gs_range_at(at);
    CHECK(out && range && range->kind == RANGE_POOL && gs_pool_exportable(range->pool),
          CUDA_ERROR_INVALID_VALUE);
    const gs_chunk *chunk = gs_heap_chunk(range->heap, at, &inside);
    exported data = {MAGIC,       range->device, (uint64_t)chunk->offset,
                     chunk->size, inside,        range->size};
    memset(out, 0, sizeof *out);
    memcpy(out, &data, sizeof data);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolImportPointer(CUdeviceptr *at, CUmemoryPool pool, CUmemPoolPtrExportData *in)
{
    exported data;
    CUdeviceptr base;
    ENTER(NEED_CONTEXT);
    CHECK(at && in && gs_handle_is(pool, KIND_POOL) && pool->fd >= 0, CUDA_ERROR_INVALID_VALUE);
    memcpy(&data, in, sizeof data);
    CHECK(data.magic == MAGIC, CUDA_ERROR_INVALID_VALUE);
    int fd = fcntl(pool->fd, F_DUPFD_CLOEXEC, 0);
    CHECK(fd >= 0, CUDA_ERROR_OPERATING_SYSTEM);
    gs_chunk *chunk = gs_chunk_import(data.device, data.chunk_size, fd, (off_t)data.offset);
    CHECK(gs_chunk_place(chunk, &base), CUDA_ERROR_MAP_FAILED);
    gs_range *range = gs_range_import(call.ctx, chunk, base, data.inside, data.length);
    range->pool = pool;
    *at = range->base;
    return CUDA_SUCCESS;
}
