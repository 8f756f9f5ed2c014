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
    CUmemoryPool named; /* NULL: the device's current pool */
    CUstream stream;
    bool per_thread;
};

enum { SMALL = 1 << 20 };
enum outcome { DONE, REFUSED, GREW_TOO_MUCH };

static CUresult allocate(const struct request *want)
{
    if (want->named)
        return (want->per_thread ? cuda()->cuMemAllocFromPoolAsync_ptsz
                                 : cuda()->cuMemAllocFromPoolAsync)(want->pointer, want->bytes,
                                                                    want->named, want->stream);
    return (want->per_thread ? cuda()->cuMemAllocAsync_ptsz
                             : cuda()->cuMemAllocAsync)(want->pointer, want->bytes, want->stream);
}

static CUstream actual_stream(const struct request *want)
{
    return want->per_thread && !want->stream ? CU_STREAM_PER_THREAD : want->stream;
}

static bool idle(CUstream stream)
{
    CUstreamCaptureStatus status;
    return cuda()->cuStreamIsCapturing(stream, &status) == CUDA_SUCCESS
           && status == CU_STREAM_CAPTURE_STATUS_NONE;
}

static void record(struct gs_pool *pool, const struct request *want)
{
    struct gs_entry old, entry = {.space = GS_POINTER,
                                  .key = *want->pointer,
                                  .bytes = want->bytes,
                                  .pool = pool,
                                  .gpu = (int8_t)pool->growth.gpu,
                                  .unmovable = GS_UNMOVABLE_POOL};
    pool->outstanding += want->bytes;
    gs_unmovable_add(GS_UNMOVABLE_POOL);
    if (!gs_ledger_put(&entry, &old))
        return;
    if (old.pool)
        gs_unmovable_drop(old.unmovable);
    else
        gs_release(&old);
}

/* The pool grew more than was reserved for it and the share has no more: hand it all back. */
static void undo(struct gs_pool *pool, const struct request *want, uint64_t claimed)
{
    CUstream stream = actual_stream(want);
    uint64_t reserved = pool->growth.charged + claimed;
    cuda()->cuMemFreeAsync(*want->pointer, stream);
    cuda()->cuStreamSynchronize(stream);
    cuda()->cuMemPoolTrimTo(pool->handle, 0);
    gs_pool_read(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved);
    gs_growth_settle_forced(&pool->growth, reserved, claimed);
}

/*
 * Held under the pool's lock, the driver's call included: else two threads could not tell whose growth is whose.
 * `trusting` counts on the free bytes of the pool. They may be in pieces that the driver cannot join (it moves
 * whole steps of growth only, seen on driver 580), so that the card would hold more than the share for a moment.
 */
static enum outcome attempt(struct gs_pool *pool, const struct request *want, bool trusting,
                            CUresult *result)
{
    CUdeviceptr before = want->pointer ? *want->pointer : 0;
    gs_pool_settle(pool);
    uint64_t used = pool->growth.charged, reserved;
    if (trusting)
        gs_pool_read(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used);
    uint64_t claimed = gs_growth_estimate(&pool->growth, want->bytes, used);
    if (!gs_charge(GS_EXACT, pool->growth.gpu, claimed))
        return REFUSED;
    *result = allocate(want);
    if (!gs_pool_read(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved))
        reserved = pool->growth.charged + (*result == CUDA_SUCCESS ? claimed : 0);
    if (!gs_growth_settle(&pool->growth, reserved, claimed)) {
        undo(pool, want, claimed);
        *want->pointer = before;
        return GREW_TOO_MUCH;
    }
    if (*result == CUDA_SUCCESS)
        record(pool, want);
    return DONE;
}

/* All that the request could take is claimed; a small one may be served from what the pool has left. */
static bool attempted(struct gs_pool *pool, const struct request *want, CUresult *result)
{
    pthread_mutex_lock(&pool->growth.lock);
    enum outcome outcome = attempt(pool, want, false, result);
    if (outcome == REFUSED && want->bytes <= SMALL)
        outcome = attempt(pool, want, true, result);
    pthread_mutex_unlock(&pool->growth.lock);
    return outcome == DONE;
}

static struct gs_pool *pool_of(const struct request *want)
{
    CUmemoryPool handle = want->named;
    struct gs_pool *pool = handle ? gs_pool_known(handle) : NULL;
    if (pool)
        return pool;
    struct gs_place place = gs_place_of_stream(actual_stream(want));
    if (place.gpu < 0
        || (!handle && cuda()->cuDeviceGetMemPool(&handle, place.device) != CUDA_SUCCESS))
        return NULL;
    return gs_pool_register(handle, place.gpu);
}

static CUresult stream_ordered(const struct request *want)
{
    if (!gs_active())
        return allocate(want);
    if (!idle(actual_stream(want))) {
        gs_graph_gets_memory(); /* captured: it becomes a node and takes memory when the graph is launched */
        return allocate(want);
    }
    struct gs_pool *pool = pool_of(want);
    if (!pool || pool->growth.gpu < 0)
        return allocate(want);
    CUresult result;
    if (attempted(pool, want, &result))
        return result;
    /* Frees that the stream has not reached yet hold the memory that trimming is to return. */
    cuda()->cuStreamSynchronize(actual_stream(want));
    gs_reclaim(pool->growth.gpu);
    if (attempted(pool, want, &result))
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

/* A pointer of cuMemAlloc may be freed so. Ours waits for more than that stream's work, which does no harm. */
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
