/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: cuMemAlloc and its family. */
#include "cuda/core/sim.h"

#include <sys/mman.h>

enum { SMALL = 1 << 20, PITCH = 512 };

static CUresult alloc_chunk(CUcontext ctx, size_t size, CUdeviceptr *at)
{
    uint64_t whole = (size + GS_GRANULE - 1) / GS_GRANULE * GS_GRANULE;
    gs_chunk *chunk;
    TRY(gs_chunk_new(ctx->device, whole, false, &chunk));
    *at = gs_arena_take(whole, GS_GRANULE, 0);
    if (!*at || !gs_chunk_map(chunk, 0, *at, whole, PROT_READ | PROT_WRITE)) {
        gs_chunk_drop(chunk);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    gs_range_add(&(gs_range){.base = *at, .size = size, .kind = RANGE_ALLOC, .ctx = ctx,
                             .device = ctx->device, .chunk = chunk});
    return CUDA_SUCCESS;
}

CUresult gs_alloc(CUcontext ctx, size_t size, CUdeviceptr *at)
{
    CHECK(size > 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(size < 1ull << 48, CUDA_ERROR_OUT_OF_MEMORY);
    if (size > SMALL)
        return alloc_chunk(ctx, size, at);
    TRY(gs_heap_alloc(ctx->heap, size, at));
    gs_range_add(&(gs_range){.base = *at, .size = size, .kind = RANGE_SMALL, .ctx = ctx,
                             .device = ctx->device, .heap = ctx->heap});
    return CUDA_SUCCESS;
}

/* The chunk was mapped from its beginning; an imported block may lie further in. */
static void free_chunk(gs_range *range)
{
    gs_arena_unmap(range->base - range->chunk_offset, range->chunk->size);
    gs_arena_give(range->base - range->chunk_offset, range->chunk->size);
    gs_chunk_drop(range->chunk);
}

void gs_free_imported(gs_range *range)
{
    free_chunk(range);
    gs_range_remove(range);
}

CUresult gs_free(CUdeviceptr at)
{
    gs_range *range = gs_range_at(at);
    CHECK(range, CUDA_ERROR_INVALID_VALUE);
    switch (range->kind) {
    case RANGE_ALLOC:
        free_chunk(range);
        break;
    case RANGE_SMALL:
        gs_heap_free(range->heap, at);
        gs_heap_trim(range->heap, 0);
        break;
    case RANGE_MANAGED:
        munmap((void *)(uintptr_t)at, range->size);
        gs_uncharge(range->device, range->chunk_offset, true);
        break;
    case RANGE_IPC:
        CHECK(range->pool, CUDA_ERROR_INVALID_VALUE); /* a legacy handle is closed, not freed */
        gs_free_imported(range);
        return CUDA_SUCCESS;
    case RANGE_POOL:
        return gs_pool_free(at);
    case RANGE_GRAPH:
        return gs_graph_memory_free(at);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    gs_range_remove(range);
    return CUDA_SUCCESS;
}

void gs_free_of_context(CUcontext ctx)
{
    for (size_t i = gs_range_count(); i-- > 0;) {
        gs_range *range = gs_range_nth(i);
        if (range->ctx != ctx)
            continue;
        if (range->kind == RANGE_IPC)
            gs_free_imported(range);
        else if (range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL || range->kind == RANGE_MANAGED)
            gs_free(range->base);
    }
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t size)
{
    ENTER(NEED_CONTEXT);
    CHECK(at, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_capture_unsafe());
    return gs_alloc(call.ctx, size, at);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height, unsigned int element)
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
    TRY(gs_context_wait(&call, call.ctx)); /* the driver waits for work that may still use it */
    return gs_free(at);
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t size, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(at && size && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST), CUDA_ERROR_INVALID_VALUE);
    TRY(gs_capture_unsafe());
    uint64_t whole = (size + GS_GRANULE - 1) / GS_GRANULE * GS_GRANULE, available, total;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY);
    /* It may be more than the card holds: what does not fit stays in host memory. */
    gs_memory_info(call.ctx->device, &available, &total);
    whole = MIN(whole, available / GS_GRANULE * GS_GRANULE);
    if (gs_charge(call.ctx->device, whole, true) != CUDA_SUCCESS)
        whole = 0;
    *at = (uintptr_t)memory;
    gs_range_add(&(gs_range){.base = *at, .size = size, .kind = RANGE_MANAGED, .ctx = call.ctx,
                             .device = call.ctx->device, .flags = flags, .chunk_offset = whole});
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
