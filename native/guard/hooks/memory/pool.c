/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/memory/pool.h"

#include <stdlib.h>

#include "charge/device.h"
#include "charge/growth.h"
#include "charge/ledger.h"
#include "hooks/memory/pools.h"
#include "share/attach.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_pool *first;
static bool freed_since_sync;

/* Pools are few and are never removed from the list. */
static struct gs_pool *find(CUmemoryPool handle)
{
    struct gs_pool *pool = first;
    while (pool && (pool->destroyed || pool->handle != handle))
        pool = pool->next;
    return pool;
}

struct gs_pool *gs_pool_find(CUmemoryPool handle)
{
    pthread_mutex_lock(&list_lock);
    struct gs_pool *pool = find(handle);
    pthread_mutex_unlock(&list_lock);
    return pool;
}

struct gs_pool *gs_pool_register(CUmemoryPool handle, int gpu)
{
    pthread_mutex_lock(&list_lock);
    struct gs_pool *pool = find(handle);
    if (!pool && (pool = malloc(sizeof *pool))) {
        *pool = (struct gs_pool){.handle = handle, .growth = gs_growth_new(gpu), .next = first};
        first = pool;
    }
    pthread_mutex_unlock(&list_lock);
    return pool;
}

bool gs_pool_read(const struct gs_pool *pool, CUmemPool_attribute what, uint64_t *value)
{
    cuuint64_t number = 0;
    if (cuda()->cuMemPoolGetAttribute(pool->handle, what, &number) != CUDA_SUCCESS)
        return false;
    *value = number;
    return true;
}

void gs_pool_settle(struct gs_pool *pool)
{
    uint64_t reserved;
    if (!pool->destroyed && gs_pool_read(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved))
        gs_growth_settle_forced(&pool->growth, reserved, 0);
}

static void each(int gpu, void (*act)(struct gs_pool *))
{
    pthread_mutex_lock(&list_lock);
    struct gs_pool *pool = first;
    pthread_mutex_unlock(&list_lock);
    for (; pool; pool = pool->next) {
        if (pool->growth.gpu < 0 || (gpu >= 0 && pool->growth.gpu != gpu))
            continue;
        pthread_mutex_lock(&pool->growth.lock);
        act(pool);
        pthread_mutex_unlock(&pool->growth.lock);
    }
}

static void trim(struct gs_pool *pool)
{
    if (!pool->destroyed)
        cuda()->cuMemPoolTrimTo(pool->handle, 0);
    gs_pool_settle(pool);
}

void gs_pools_trim(int gpu)
{
    each(gpu, trim);
}

void gs_pools_settle(int gpu)
{
    each(gpu, gs_pool_settle);
}

void gs_pools_synchronised(void)
{
    if (__atomic_load_n(&freed_since_sync, __ATOMIC_RELAXED)
        && __atomic_exchange_n(&freed_since_sync, false, __ATOMIC_RELAXED))
        each(-1, gs_pool_settle);
}

void gs_pool_returned(const struct gs_entry *entry)
{
    struct gs_pool *pool = entry->pool;
    pthread_mutex_lock(&pool->growth.lock);
    pool->outstanding -= entry->bytes;
    if (pool->destroyed && pool->outstanding == 0)
        gs_growth_settle_forced(&pool->growth, 0, 0);
    pthread_mutex_unlock(&pool->growth.lock);
    __atomic_store_n(&freed_since_sync, true, __ATOMIC_RELAXED);
}

void gs_pools_forget(void)
{
    list_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    first = NULL;
    freed_since_sync = false;
}

CUresult cuMemPoolCreate(CUmemoryPool *handle, const CUmemPoolProps *properties)
{
    CUresult result = cuda()->cuMemPoolCreate(handle, properties);
    if (result == CUDA_SUCCESS && gs_active())
        gs_pool_register(*handle, gs_gpu_at(&properties->location));
    return result;
}

/* What is still allocated from a destroyed pool stays charged until the last of it is freed. */
static void destroyed(struct gs_pool *pool)
{
    uint64_t left =
        gs_growth_estimate(&(struct gs_growth){.grain = pool->growth.grain}, pool->outstanding, 0);
    pthread_mutex_lock(&list_lock);
    pool->destroyed = true;
    pthread_mutex_unlock(&list_lock);
    if (left < pool->growth.charged)
        gs_growth_settle_forced(&pool->growth, left, 0);
}

CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    struct gs_pool *pool = gs_pool_find(handle);
    if (!pool)
        return cuda()->cuMemPoolDestroy(handle);
    pthread_mutex_lock(&pool->growth.lock);
    CUresult result = cuda()->cuMemPoolDestroy(handle);
    if (result == CUDA_SUCCESS)
        destroyed(pool);
    pthread_mutex_unlock(&pool->growth.lock);
    return result;
}

static CUresult changed(CUresult result, CUmemoryPool handle)
{
    struct gs_pool *pool = gs_pool_find(handle);
    if (pool && pool->growth.gpu >= 0) {
        pthread_mutex_lock(&pool->growth.lock);
        gs_pool_settle(pool);
        pthread_mutex_unlock(&pool->growth.lock);
    }
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
    return changed(cuda()->cuMemPoolTrimTo(handle, keep), handle);
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    return changed(cuda()->cuMemPoolSetAttribute(handle, attribute, value), handle);
}

/* The memory of an imported pool belongs to the process that exported it. */
CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *handle, void *shared,
                                            CUmemAllocationHandleType type,
                                            unsigned long long flags)
{
    CUresult result = cuda()->cuMemPoolImportFromShareableHandle(handle, shared, type, flags);
    if (result == CUDA_SUCCESS && gs_active())
        gs_pool_register(*handle, -1);
    return result;
}

/* Records a pool with its GPU, because an allocation names the pool only. */
static CUresult recorded(CUresult result, const CUmemoryPool *handle, int gpu)
{
    if (result == CUDA_SUCCESS && handle && gs_active())
        gs_pool_register(*handle, gpu);
    return result;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *handle, CUdevice device)
{
    return recorded(cuda()->cuDeviceGetDefaultMemPool(handle, device), handle, gs_gpu_of(device));
}

CUresult cuDeviceGetMemPool(CUmemoryPool *handle, CUdevice device)
{
    return recorded(cuda()->cuDeviceGetMemPool(handle, device), handle, gs_gpu_of(device));
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *handle, CUmemLocation *location,
                                CUmemAllocationType type)
{
    CUresult result = cuda()->cuMemGetDefaultMemPool(handle, location, type);
    return recorded(result, handle, gs_gpu_at(location));
}

CUresult cuMemGetMemPool(CUmemoryPool *handle, CUmemLocation *location, CUmemAllocationType type)
{
    CUresult result = cuda()->cuMemGetMemPool(handle, location, type);
    return recorded(result, handle, gs_gpu_at(location));
}
