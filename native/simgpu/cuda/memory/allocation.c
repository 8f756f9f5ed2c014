/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/allocation.h"

#include <sys/mman.h>

#include "cuda/core/charge.h"
#include "cuda/core/context.h"
#include "cuda/memory/graph_memory.h"
#include "cuda/memory/heap.h"
#include "cuda/memory/pool.h"

enum { SMALL = 1 << 20 };

static CUresult alloc_chunk(CUcontext ctx, size_t size, CUdeviceptr *at)
{
    gs_chunk *chunk;
    TRY(gs_chunk_new(ctx->device, gs_granules(size), false, &chunk));
    CHECK(gs_chunk_place(chunk, at), CUDA_ERROR_OUT_OF_MEMORY);
    gs_range_add(&(gs_range){.base = *at,
                             .size = size,
                             .kind = RANGE_ALLOC,
                             .ctx = ctx,
                             .device = ctx->device,
                             .chunk = chunk});
    return CUDA_SUCCESS;
}

CUresult gs_alloc(CUcontext ctx, size_t size, CUdeviceptr *at)
{
    CHECK(size > 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(size < 1ull << 48, CUDA_ERROR_OUT_OF_MEMORY);
    if (size > SMALL)
        return alloc_chunk(ctx, size, at);
    TRY(gs_heap_alloc(ctx->heap, size, at));
    gs_range_add(&(gs_range){.base = *at,
                             .size = size,
                             .kind = RANGE_SMALL,
                             .ctx = ctx,
                             .device = ctx->device,
                             .heap = ctx->heap});
    return CUDA_SUCCESS;
}

/* A chunk is mapped from its start; an imported range may start further in. */
void gs_free_imported(gs_range *range)
{
    gs_chunk_remove(range->chunk, range->base - range->chunk_offset);
    gs_range_remove(range);
}

CUresult gs_free(CUdeviceptr at)
{
    gs_range *range = gs_range_at(at);
    CHECK(range, CUDA_ERROR_INVALID_VALUE);
    switch (range->kind) {
    case RANGE_ALLOC: gs_chunk_remove(range->chunk, range->base); break;
    case RANGE_SMALL:
        gs_heap_free(range->heap, at);
        gs_heap_trim(range->heap, 0);
        break;
    case RANGE_MANAGED:
        munmap((void *)(uintptr_t)at, range->size);
        gs_uncharge(range->device, range->chunk_offset, true);
        break;
    /* Without a pool it is closed by cuIpcCloseMemHandle. */
    case RANGE_IPC:
        CHECK(range->pool, CUDA_ERROR_INVALID_VALUE);
        gs_free_imported(range);
        return CUDA_SUCCESS;
    case RANGE_POOL: return gs_pool_free(at);
    case RANGE_GRAPH: return gs_graph_memory_free(at);
    default: return CUDA_ERROR_INVALID_VALUE;
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
        else if (range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL
                 || range->kind == RANGE_MANAGED)
            gs_free(range->base);
    }
}
