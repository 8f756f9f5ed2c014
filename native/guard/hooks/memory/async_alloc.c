/* SPDX-License-Identifier: Apache-2.0 */
/* Stream-ordered allocation. */
#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "hooks/memory/alloc.h"
#include "hooks/memory/graph_memory.h"
#include "hooks/memory/pool.h"
#include "hooks/memory/pools.h"
#include "hooks/setup/context.h"
#include "share/attach.h"
#include "swap/blocks/heap.h"

struct request {
    CUdeviceptr *pointer;
    size_t bytes;
    CUmemoryPool named; /* NULL: the current pool of the device */
    CUstream stream;
    bool per_thread;
};

enum { SMALL = 1 << 20 };
enum outcome { DONE, REFUSED, GREW_TOO_MUCH };

static CUresult allocate(const struct request *request)
{
    if (request->named)
        return (request->per_thread
                    ? cuda()->cuMemAllocFromPoolAsync_ptsz
                    : cuda()->cuMemAllocFromPoolAsync)(request->pointer, request->bytes,
                                                       request->named, request->stream);
    return (request->per_thread
                ? cuda()->cuMemAllocAsync_ptsz
                : cuda()->cuMemAllocAsync)(request->pointer, request->bytes, request->stream);
}

static CUstream actual_stream(const struct request *request)
{
    return request->per_thread && !request->stream ? CU_STREAM_PER_THREAD : request->stream;
}

static bool idle(CUstream stream)
{
    CUstreamCaptureStatus status;
    return cuda()->cuStreamIsCapturing(stream, &status) == CUDA_SUCCESS
           && status == CU_STREAM_CAPTURE_STATUS_NONE;
}

static void record(struct gs_pool *pool, const struct request *request)
{
    struct gs_entry old, entry = {.space = GS_POINTER,
                                  .key = *request->pointer,
                                  .bytes = request->bytes,
                                  .pool = pool,
                                  .gpu = (int8_t)pool->growth.gpu,
                                  .unmovable = GS_UNMOVABLE_POOL};
    pool->outstanding += request->bytes;
    gs_unmovable_add(GS_UNMOVABLE_POOL);
    if (!gs_ledger_put(&entry, &old))
        return;
    if (old.pool)
        gs_unmovable_drop(old.unmovable);
    else
        gs_release(&old);
}

/* The pool grew beyond its charge and the share has no more: returns all of it. */
static void undo(struct gs_pool *pool, const struct request *request, uint64_t claimed)
{
    CUstream stream = actual_stream(request);
    uint64_t reserved = pool->growth.charged + claimed;
    cuda()->cuMemFreeAsync(*request->pointer, stream);
    cuda()->cuStreamSynchronize(stream);
    cuda()->cuMemPoolTrimTo(pool->handle, 0);
    gs_pool_read(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved);
    gs_growth_settle_forced(&pool->growth, reserved, claimed);
}

/*
 * Under the lock of the pool, the driver's call included, so that the growth is that of this
 * request. `trusting` relies on the free bytes of the pool. They may be fragments that the driver
 * cannot join (driver 580 moves whole steps of growth only), so that the GPU would hold more than
 * the charge for a moment.
 */
static enum outcome attempt(struct gs_pool *pool, const struct request *request, bool trusting,
                            CUresult *result)
{
    CUdeviceptr before = request->pointer ? *request->pointer : 0;
    gs_pool_settle(pool);
    uint64_t used = pool->growth.charged, reserved;
    if (trusting)
        gs_pool_read(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used);
    uint64_t claimed = gs_growth_estimate(&pool->growth, request->bytes, used);
    if (!gs_charge(GS_EXACT, pool->growth.gpu, claimed))
        return REFUSED;
    *result = allocate(request);
    if (!gs_pool_read(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved))
        reserved = pool->growth.charged + (*result == CUDA_SUCCESS ? claimed : 0);
    if (!gs_growth_settle(&pool->growth, reserved, claimed)) {
        undo(pool, request, claimed);
        *request->pointer = before;
        return GREW_TOO_MUCH;
    }
    if (*result == CUDA_SUCCESS)
        record(pool, request);
    return DONE;
}

/* Charges all that the request could take; a small one may fit into what the pool has free. */
static bool attempted(struct gs_pool *pool, const struct request *request, CUresult *result)
{
    pthread_mutex_lock(&pool->growth.lock);
    enum outcome outcome = attempt(pool, request, false, result);
    if (outcome == REFUSED && request->bytes <= SMALL)
        outcome = attempt(pool, request, true, result);
    pthread_mutex_unlock(&pool->growth.lock);
    return outcome == DONE;
}

static struct gs_pool *pool_of(const struct request *request)
{
    CUmemoryPool handle = request->named;
    struct gs_pool *pool = handle ? gs_pool_find(handle) : NULL;
    if (pool)
        return pool;
    struct gs_place place = gs_place_of_stream(actual_stream(request));
    if (place.gpu < 0
        || (!handle && cuda()->cuDeviceGetMemPool(&handle, place.device) != CUDA_SUCCESS))
        return NULL;
    return gs_pool_register(handle, place.gpu);
}

static CUresult stream_ordered(const struct request *request)
{
    if (!gs_active())
        return allocate(request);
    if (!idle(actual_stream(request))) {
        gs_graph_gets_memory(); /* captured: a node that takes memory at the launch */
        return allocate(request);
    }
    struct gs_pool *pool = pool_of(request);
    if (!pool || pool->growth.gpu < 0)
        return allocate(request);
    CUresult result;
    if (attempted(pool, request, &result))
        return result;
    /* Trimming frees nothing that waits for a free further down the stream. */
    cuda()->cuStreamSynchronize(actual_stream(request));
    gs_reclaim(pool->growth.gpu);
    if (attempted(pool, request, &result))
        return result;
    return gs_refuse(pool->growth.gpu);
}

CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
    return GS_INSIDE(stream_ordered(&(struct request){pointer, bytes, NULL, stream, false}));
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
    return GS_INSIDE(stream_ordered(&(struct request){pointer, bytes, NULL, stream, true}));
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool,
                                 CUstream stream)
{
    return GS_INSIDE(stream_ordered(&(struct request){pointer, bytes, pool, stream, false}));
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool,
                                      CUstream stream)
{
    return GS_INSIDE(stream_ordered(&(struct request){pointer, bytes, pool, stream, true}));
}

/*
 * Pointers of cuMemAlloc() may be freed here. The heap waits for the context, not for the stream
 * only.
 */
CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream)
{
    CUresult freed;
    if (gs_heap_free(pointer, &freed))
        return freed;
    GS_FREEING(GS_POINTER, pointer, cuda()->cuMemFreeAsync(pointer, stream));
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr pointer, CUstream stream)
{
    CUresult freed;
    if (gs_heap_free(pointer, &freed))
        return freed;
    GS_FREEING(GS_POINTER, pointer, cuda()->cuMemFreeAsync_ptsz(pointer, stream));
}
