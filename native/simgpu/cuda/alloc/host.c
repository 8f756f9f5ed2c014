/* SPDX-License-Identifier: Apache-2.0 */
/* Page-locked host memory, and hints about managed memory. */
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/memory/range.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/wait.h"

#include <sys/mman.h>

static CUresult host_alloc(CUcontext ctx, void **memory, size_t size, unsigned int flags)
{
    CHECK(memory && size, CUDA_ERROR_INVALID_VALUE);
    *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(*memory != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY);
    gs_range_add(&(gs_range){.base = (uintptr_t)*memory,
                             .size = size,
                             .kind = RANGE_HOST,
                             .ctx = ctx,
                             .device = ctx->device,
                             .flags = flags});
    return CUDA_SUCCESS;
}

CUresult cuMemAllocHost_v2(void **memory, size_t size)
{
    ENTER(NEED_CONTEXT);
    return host_alloc(call.ctx, memory, size, 0);
}

CUresult cuMemHostAlloc(void **memory, size_t size, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(!(flags & ~7u), CUDA_ERROR_INVALID_VALUE);
    return host_alloc(call.ctx, memory, size, flags);
}

CUresult cuMemFreeHost(void *memory)
{
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_at((uintptr_t)memory);
    CHECK(range && range->kind == RANGE_HOST, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_context_wait(call.ctx));
    munmap(memory, range->size);
    gs_range_remove(range);
    return CUDA_SUCCESS;
}

CUresult cuMemHostRegister_v2(void *memory, size_t size, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(memory && size && !(flags & ~15u), CUDA_ERROR_INVALID_VALUE);
    CHECK(!gs_range_find((uintptr_t)memory) && !gs_range_find((uintptr_t)memory + size - 1),
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    gs_range_add(&(gs_range){.base = (uintptr_t)memory,
                             .size = size,
                             .kind = RANGE_REGISTERED,
                             .ctx = call.ctx,
                             .device = call.ctx->device,
                             .flags = flags});
    return CUDA_SUCCESS;
}

CUresult cuMemHostRegister(void *memory, size_t size, unsigned int flags)
{
    return cuMemHostRegister_v2(memory, size, flags);
}

CUresult cuMemHostUnregister(void *memory)
{
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_at((uintptr_t)memory);
    CHECK(range && range->kind == RANGE_REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    TRY(gs_context_wait(call.ctx));
    gs_range_remove(range);
    return CUDA_SUCCESS;
}

static gs_range *host_range(const void *memory)
{
    gs_range *range = gs_range_find((uintptr_t)memory);
    return range && (range->kind == RANGE_HOST || range->kind == RANGE_REGISTERED) ? range : NULL;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *at, void *memory, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(at && flags == 0 && host_range(memory), CUDA_ERROR_INVALID_VALUE);
    *at = (uintptr_t)memory;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *memory)
{
    ENTER(NEED_CONTEXT);
    gs_range *range = host_range(memory);
    CHECK(flags && range && range->kind == RANGE_HOST, CUDA_ERROR_INVALID_VALUE);
    *flags = range->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}

static CUresult managed(CUdeviceptr at, size_t size)
{
    gs_range *range = gs_range_find(at);
    CHECK(range && range->kind == RANGE_MANAGED && at + size <= range->base + range->size,
          CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuMemPrefetchAsync_v2(CUdeviceptr at, size_t size, CUmemLocation to, unsigned int flags,
                               CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CHECK(flags == 0 && to.type != CU_MEM_LOCATION_TYPE_INVALID, CUDA_ERROR_INVALID_VALUE);
    TRY(managed(at, size));
    return gs_stream_of(call.ctx, stream, &stream);
}

CUresult cuMemPrefetchAsync(CUdeviceptr at, size_t size, CUdevice to, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CHECK(to >= CU_DEVICE_CPU && to < sim.count, CUDA_ERROR_INVALID_DEVICE);
    TRY(managed(at, size));
    return gs_stream_of(call.ctx, stream, &stream);
}

CUresult cuMemAdvise_v2(CUdeviceptr at, size_t size, CUmem_advise advice, CUmemLocation location)
{
    (void)location;
    ENTER(NEED_CONTEXT);
    CHECK(advice >= 1 && advice <= 6, CUDA_ERROR_INVALID_VALUE);
    return managed(at, size);
}

CUresult cuMemAdvise(CUdeviceptr at, size_t size, CUmem_advise advice, CUdevice device)
{
    (void)device;
    ENTER(NEED_CONTEXT);
    CHECK(advice >= 1 && advice <= 6, CUDA_ERROR_INVALID_VALUE);
    return managed(at, size);
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr at, size_t size, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(flags == 1 || flags == 2 || flags == 4, CUDA_ERROR_INVALID_VALUE);
    TRY(managed(at, size));
    return gs_stream_of(call.ctx, stream, &stream);
}
