/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of memory pools and of stream-ordered allocation. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/graph/op.h"
#include "cuda/memory/allocation.h"
#include "cuda/memory/graph_memory.h"
#include "cuda/memory/pool.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"
#include "cuda/stream/wait.h"
#include "cuda/execution/types.h"

static CUresult async_alloc(CUcontext ctx, CUmemoryPool pool, CUdeviceptr *at, size_t size,
                            CUstream handle)
{
    CUstream stream;
    CHECK(at, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(ctx, handle, &stream));
    if (stream->capture) {
        gs_op op = {.type = OP_ALLOC, .ctx = ctx, .memory = {.pool = pool, .size = size}};
        TRY(gs_graph_memory_reserve(ctx->device, size, &op.memory.at));
        TRY(gs_capture_op(stream, &op));
        *at = op.memory.at;
        return CUDA_SUCCESS;
    }
    return gs_pool_alloc(pool, size, at);
}

CUresult cuMemAllocAsync(CUdeviceptr *at, size_t size, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return async_alloc(call.ctx, gs_pool_current(call.ctx->device), at, size, stream);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *at, size_t size, CUmemoryPool pool, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CHECK(gs_handle_is(pool, KIND_POOL), CUDA_ERROR_INVALID_VALUE);
    return async_alloc(call.ctx, pool, at, size, stream);
}

CUresult cuMemFreeAsync(CUdeviceptr at, CUstream handle)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    gs_range *range = gs_range_at(at);
    CHECK(range, CUDA_ERROR_INVALID_VALUE);
    gs_op op = {.type = OP_FREE, .memory = {.at = at}};
    if (range->kind == RANGE_POOL || range->kind == RANGE_GRAPH || stream->capture)
        return gs_submit(stream->ctx, stream, &op);
    CHECK(range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL
              || (range->kind == RANGE_IPC && range->pool),
          CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_wait(stream));
    return gs_free(at);
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(pool && props && props->allocType == CU_MEM_ALLOCATION_TYPE_PINNED,
          CUDA_ERROR_INVALID_VALUE);
    CHECK(props->location.type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_NOT_SUPPORTED);
    TRY(gs_ordinal(props->location.id, &device));
    *pool = gs_pool_new(sim.visible[props->location.id], props);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(pool, KIND_POOL) && !pool->builtin, CUDA_ERROR_INVALID_VALUE);
    if (sim.pool[pool->device] == pool)
        sim.pool[pool->device] = NULL;
    for (size_t i = gs_range_count(); i-- > 0;)
        if (gs_range_nth(i)->pool == pool && gs_range_nth(i)->kind == RANGE_IPC)
            gs_free_imported(gs_range_nth(i));
        else if (gs_range_nth(i)->pool == pool)
            gs_range_remove(gs_range_nth(i));
    gs_pool_destroy(pool);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(pool, KIND_POOL), CUDA_ERROR_INVALID_VALUE);
    gs_heap_trim(pool->heap, keep);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(pool, KIND_POOL) && value, CUDA_ERROR_INVALID_VALUE);
    uint64_t *number = value;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = (int)pool->reuse[attribute];
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *number = pool->threshold; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        *number = gs_heap_reserved(pool->heap);
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: *number = pool->reserved_high; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *number = pool->used; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *number = pool->used_high; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(pool, KIND_POOL) && value, CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        pool->reuse[attribute] = *(int *)value != 0;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        pool->threshold = *(uint64_t *)value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        CHECK(*(uint64_t *)value == 0, CUDA_ERROR_INVALID_VALUE);
        pool->reserved_high = gs_heap_reserved(pool->heap);
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        CHECK(*(uint64_t *)value == 0, CUDA_ERROR_INVALID_VALUE);
        pool->used_high = pool->used;
        return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult device_of(const CUmemLocation *location, int *device)
{
    CHECK(location, CUDA_ERROR_INVALID_VALUE);
    CHECK(location->type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_NOT_SUPPORTED);
    CHECK(location->id >= 0 && location->id < sim.count, CUDA_ERROR_INVALID_DEVICE);
    *device = sim.visible[location->id];
    return CUDA_SUCCESS;
}

static CUresult set_current(int device, CUmemoryPool pool)
{
    CHECK(gs_handle_is(pool, KIND_POOL) && pool->device == device, CUDA_ERROR_INVALID_VALUE);
    sim.pool[device] = pool->builtin ? NULL : pool;
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool pool)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    return set_current(sim.visible[ordinal], pool);
}

static CUresult pool_of(CUdevice ordinal, CUmemoryPool (*which)(int), CUmemoryPool *pool)
{
    gs_device *device;
    CHECK(pool, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *pool = which(sim.visible[ordinal]);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return pool_of(ordinal, gs_pool_current, pool);
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return pool_of(ordinal, gs_pool_default, pool);
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *pool, CUmemLocation *location,
                                CUmemAllocationType type)
{
    int device;
    ENTER(NEED_INIT);
    CHECK(pool && type == CU_MEM_ALLOCATION_TYPE_PINNED, CUDA_ERROR_INVALID_VALUE);
    TRY(device_of(location, &device));
    *pool = gs_pool_default(device);
    return CUDA_SUCCESS;
}

CUresult cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
    int device;
    ENTER(NEED_INIT);
    CHECK(pool && type == CU_MEM_ALLOCATION_TYPE_PINNED, CUDA_ERROR_INVALID_VALUE);
    TRY(device_of(location, &device));
    *pool = gs_pool_current(device);
    return CUDA_SUCCESS;
}

CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
    int device;
    ENTER(NEED_INIT);
    CHECK(type == CU_MEM_ALLOCATION_TYPE_PINNED, CUDA_ERROR_INVALID_VALUE);
    TRY(device_of(location, &device));
    return set_current(device, pool);
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc *list, size_t count)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(pool, KIND_POOL) && (list || !count), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool pool, CUmemLocation *location)
{
    ENTER(NEED_INIT);
    CHECK(flags && location && gs_handle_is(pool, KIND_POOL), CUDA_ERROR_INVALID_VALUE);
    *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return CUDA_SUCCESS;
}
