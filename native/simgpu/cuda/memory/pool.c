/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/pool.h"

#include <unistd.h>

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/handle.h"
#include "cuda/memory/range.h"

enum { STEP = 32 << 20 }; /* a pool grows by 32 MiB */

static CUmemoryPool pools;

CUmemoryPool gs_pool_new(int device, const CUmemPoolProps *props)
{
    CUmemoryPool pool = gs_handle_new(KIND_POOL, sizeof *pool);
    pool->device = device;
    pool->fd = -1;
    pool->props = *props;
    pool->max_size = props->maxSize;
    pool->heap = gs_heap_new(device, STEP);
    pool->next = pools;
    pools = pool;
    pool->reuse[1] = pool->reuse[2] = pool->reuse[3] = 1;
    return pool;
}

CUmemoryPool gs_pool_default(int device)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, gs_ordinal_of(device)}};
    if (!sim.default_pool[device]) {
        sim.default_pool[device] = gs_pool_new(device, &props);
        sim.default_pool[device]->builtin = true;
    }
    return sim.default_pool[device];
}

bool gs_pool_exportable(CUmemoryPool pool)
{
    return pool->fd < 0 && pool->props.handleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
}

CUmemoryPool gs_pool_import(int fd)
{
    CUmemoryPool pool =
        gs_pool_new(sim.visible[0], &(CUmemPoolProps){.allocType = CU_MEM_ALLOCATION_TYPE_PINNED});
    pool->fd = fd;
    return pool;
}

CUmemoryPool gs_pool_current(int device)
{
    return sim.pool[device] ? sim.pool[device] : gs_pool_default(device);
}

CUresult gs_pool_alloc(CUmemoryPool pool, size_t size, CUdeviceptr *at)
{
    /* Only the exporter allocates from a shared pool. */
    CHECK(size > 0 && pool->fd < 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(!pool->max_size || pool->used + size <= pool->max_size, CUDA_ERROR_OUT_OF_MEMORY);
    CUresult result = gs_heap_alloc(pool->heap, size, at);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        gs_heap_trim(pool->heap, 0); /* the free memory of the pool may take the room */
        result = gs_heap_alloc(pool->heap, size, at);
    }
    TRY(result);
    pool->used += size;
    pool->used_high = MAX(pool->used_high, pool->used);
    pool->reserved_high = MAX(pool->reserved_high, gs_heap_reserved(pool->heap));
    gs_range_add(&(gs_range){.base = *at,
                             .size = size,
                             .kind = RANGE_POOL,
                             .device = pool->device,
                             .pool = pool,
                             .heap = pool->heap});
    return CUDA_SUCCESS;
}

CUresult gs_pool_free(CUdeviceptr at)
{
    gs_range *range = gs_range_at(at);
    CHECK(range && range->kind == RANGE_POOL, CUDA_ERROR_INVALID_VALUE);
    range->pool->used -= range->size;
    gs_heap_free(range->heap, at);
    gs_range_remove(range);
    return CUDA_SUCCESS;
}

void gs_pools_settle(CUcontext ctx)
{
    if (!ctx)
        return;
    for (CUmemoryPool pool = pools; pool; pool = pool->next)
        if (pool->device == ctx->device)
            gs_heap_trim(pool->heap, pool->threshold);
}

void gs_pool_destroy(CUmemoryPool pool)
{
    for (CUmemoryPool *link = &pools; *link; link = &(*link)->next)
        if (*link == pool) {
            *link = pool->next;
            break;
        }
    if (pool->fd >= 0)
        close(pool->fd);
    gs_heap_destroy(pool->heap);
    gs_handle_free(pool);
}
