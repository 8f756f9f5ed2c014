/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: cuMemAlloc and related entry points. */
#include "cuda/core/charge.h"
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/memory/allocation.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/wait.h"

#include <sys/mman.h>

enum { PITCH = 512 };

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t size)
{
    ENTER(NEED_CONTEXT);
    CHECK(at, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_capture_unsafe());
    return gs_alloc(call.ctx, size, at);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height,
                            unsigned int element)
{
    ENTER(NEED_CONTEXT);
    CHECK(at && pitch && width && height, CUDA_ERROR_INVALID_VALUE);
    CHECK(element == 4 || element == 8 || element == 16, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_capture_unsafe());
    *pitch = (width + PITCH - 1) / PITCH * PITCH;
    return gs_alloc(call.ctx, *pitch * height, at);
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
    ENTER(NEED_CONTEXT);
    if (!at)
        return CUDA_SUCCESS;
    TRY(gs_capture_unsafe());
    gs_range *range = gs_range_at(at);
    CHECK(range, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_context_wait(call.ctx)); /* the driver waits for work that may still use it */
    return gs_free(at);
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t size, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(at && size && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST),
          CUDA_ERROR_INVALID_VALUE);
    TRY(gs_capture_unsafe());
    uint64_t whole = gs_granules(size), available, total;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY);
    /* Managed memory may exceed the device: what does not fit stays in host memory. */
    gs_memory_info(call.ctx->device, &available, &total);
    whole = MIN(whole, available / GS_GRANULE * GS_GRANULE);
    if (gs_charge(call.ctx->device, whole, true) != CUDA_SUCCESS)
        whole = 0;
    *at = (uintptr_t)memory;
    gs_range_add(&(gs_range){.base = *at,
                             .size = size,
                             .kind = RANGE_MANAGED,
                             .ctx = call.ctx,
                             .device = call.ctx->device,
                             .flags = flags,
                             .chunk_offset = whole});
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *available, size_t *total)
{
    uint64_t free_bytes, all;
    ENTER(NEED_CONTEXT);
    gs_memory_info(call.ctx->device, &free_bytes, &all);
    if (available)
        *available = free_bytes;
    if (total)
        *total = all;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr at)
{
    ENTER(NEED_CONTEXT);
    gs_range *range = gs_range_find(at);
    CHECK(range, CUDA_ERROR_NOT_FOUND);
    if (base)
        *base = range->base;
    if (size)
        *size = range->size;
    return CUDA_SUCCESS;
}
