/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap: device memory of movable shares.
 *
 * Model. Allocations above 1 MiB are blocks of their own; smaller ones are suballocations in blocks
 * of one page. A freed block goes through three states: held by the program; freed, while work that
 * may use it runs; cached, with its memory, for the next allocation of that size. cuMemFree() waits
 * for the work of the block's context, as the driver's does. During a stream capture waiting would
 * invalidate the capture, so the free is deferred until the next synchronising call of the heap.
 *
 * Invariants:
 * 1. Addresses never change while an allocation lives: suspension replaces chunks only.
 * 2. A block is reused or moved to the cache only after the work queued before its free has
 *    finished.
 * 3. Every block is charged exactly from creation to end, cached or not; `cached` counts the part
 *    that can be freed.
 * 4. A block with an IPC export ends when it is freed, because another process may still use its
 *    memory.
 * 5. `deferred` and the states of blocks change under the lock of the blocks; the driver is not
 *    asked to wait under it.
 */
#include "swap/blocks/heap.h"

#include <stdlib.h>
#include <string.h>

#include "charge/charge.h"
#include "charge/pressure.h"
#include "driver/capture_state.h"
#include "driver/quiesce.h"
#include "swap/blocks/cache.h"
#include "swap/blocks/ipc_export.h"
#include "swap/blocks/suballoc.h"

/* Deferred frees: freed during a capture. Guarded by the lock of the blocks. */
static struct {
    CUdeviceptr *pointer;
    size_t count, room;
} deferred;

/* Asked for by programs that show memory to processes without the guard. */
static bool memory_is_plain(void)
{
    static int plain = -1;
    if (plain < 0) {
        const char *value = getenv("GPUSHARE_PLAIN_MEMORY");
        plain = value && strcmp(value, "1") == 0;
    }
    return plain;
}

bool gs_heap_serves(const struct gs_place *place)
{
    return gs_movable() && place->gpu >= 0 && !memory_is_plain()
           && gs_chunks_possible(place->device);
}

static bool defer(CUdeviceptr pointer)
{
    if (deferred.count == deferred.room) {
        size_t larger = deferred.room ? deferred.room * 2 : 16;
        CUdeviceptr *moved = realloc(deferred.pointer, larger * sizeof *moved);
        if (!moved)
            return false;
        deferred.pointer = moved;
        deferred.room = larger;
    }
    deferred.pointer[deferred.count++] = pointer;
    return true;
}

static void end_block(struct gs_block *block)
{
    gs_ipc_unexport(block);
    gs_block_end(block);
}

/* Caches or ends what no work uses any more. Needs the lock. */
static void settle(CUdeviceptr pointer)
{
    struct gs_block *block = gs_block_at(pointer);
    if (!block || (block->suballocs && !gs_suballoc_give(block, pointer)))
        return;
    if (block->ipc_export) /* invariant 4 */
        end_block(block);
    else
        gs_cache_put(block);
}

/* Needs the lock. */
static void settle_deferred(void)
{
    while (deferred.count)
        settle(deferred.pointer[--deferred.count]);
}

/* Waits for the work of a context, current or not. */
static CUresult wait_for(CUcontext context)
{
    CUcontext current = NULL;
    cuda()->cuCtxGetCurrent(&current);
    if (current == context)
        return cuda()->cuCtxSynchronize();
    cuda()->cuCtxSetCurrent(context);
    CUresult result = cuda()->cuCtxSynchronize();
    cuda()->cuCtxSetCurrent(current);
    return result;
}

static void free_deferred(void)
{
    gs_blocks_lock();
    bool empty = deferred.count == 0;
    gs_blocks_unlock();
    if (empty || gs_capturing() || cuda()->cuCtxSynchronize() != CUDA_SUCCESS)
        return;
    gs_blocks_lock();
    settle_deferred();
    gs_blocks_unlock();
}

static struct gs_block *cached(const struct gs_place *place, uint64_t bytes)
{
    gs_blocks_lock();
    struct gs_block *block = gs_cache_take(place, bytes);
    gs_blocks_unlock();
    return block;
}

/* A GPU can be full although the share is not, by other shares or by cached memory of our own. */
static CUresult make(const struct gs_place *place, uint64_t bytes, struct gs_block **block)
{
    if (!gs_charge_or_reclaim(GS_EXACT, place->gpu, bytes))
        return gs_refuse(place->gpu);
    CUresult result = gs_block_make(place, bytes, block);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        gs_reclaim(place->gpu);
        result = gs_block_make(place, bytes, block);
    }
    if (result != CUDA_SUCCESS)
        gs_uncharge(GS_EXACT, place->gpu, bytes);
    return result;
}

static CUresult obtain(const struct gs_place *place, uint64_t bytes, struct gs_block **block)
{
    *block = cached(place, bytes);
    if (*block)
        return CUDA_SUCCESS;
    free_deferred();
    return make(place, bytes, block);
}

/* In a range that the driver does not use. */
static uint64_t fresh_id(void)
{
    static uint64_t newest = 1ull << 62;
    return __atomic_add_fetch(&newest, 1, __ATOMIC_RELAXED);
}

static CUresult large(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer)
{
    struct gs_block *block;
    uint64_t rounded =
        bytes > UINT64_MAX - GS_PAGE ? UINT64_MAX : (bytes + GS_PAGE - 1) / GS_PAGE * GS_PAGE;
    CUresult result = obtain(place, rounded, &block);
    if (result == CUDA_SUCCESS) {
        block->asked = bytes;
        block->id = fresh_id();
        *pointer = block->at;
    }
    return result;
}

static CUdeviceptr suballocate(const struct gs_place *place, uint64_t bytes, struct gs_block *fresh)
{
    gs_blocks_lock();
    bool begun = !fresh || gs_suballocs_begin(fresh);
    CUdeviceptr at = begun ? gs_suballoc_take(place, bytes, fresh_id()) : 0;
    if (!begun)
        gs_cache_put(fresh);
    gs_blocks_unlock();
    return at;
}

static CUresult small(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer)
{
    struct gs_block *fresh;
    *pointer = suballocate(place, bytes, NULL);
    if (*pointer)
        return CUDA_SUCCESS;
    CUresult result = obtain(place, GS_PAGE, &fresh);
    if (result != CUDA_SUCCESS)
        return result;
    *pointer = suballocate(place, bytes, fresh);
    return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult gs_heap_alloc(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer)
{
    CUdeviceptr at = 0;
    gs_enter();
    CUresult result = bytes > GS_SMALL ? large(place, bytes, &at) : small(place, bytes, &at);
    gs_leave();
    if (result == CUDA_SUCCESS)
        *pointer = at;
    return result;
}

/* The block with a held allocation that begins at this address. Needs the lock. */
static struct gs_block *begins(CUdeviceptr pointer)
{
    CUdeviceptr at;
    uint64_t asked;
    struct gs_block *block = gs_block_at(pointer);
    if (!block)
        return NULL;
    if (block->suballocs)
        return gs_suballoc_at(block, pointer, &at, &asked) && at == pointer ? block : NULL;
    return block->use == GS_HELD && block->at == pointer ? block : NULL;
}

static CUresult after_waiting(CUdeviceptr pointer, CUcontext context)
{
    CUresult result = wait_for(context);
    gs_blocks_lock();
    struct gs_block *block = gs_block_at(pointer);
    if (result == CUDA_SUCCESS) {
        settle_deferred();
        settle(pointer);
    } else if (block && !block->suballocs) {
        block->use = GS_HELD;
    }
    gs_blocks_unlock();
    return result;
}

static bool freed(CUdeviceptr pointer, CUresult *result)
{
    gs_blocks_lock();
    struct gs_block *block = begins(pointer);
    bool later = block && gs_capturing() && defer(pointer);
    CUcontext context = block ? block->context : NULL;
    if (block && !block->suballocs)
        block->use = GS_FREED;
    gs_blocks_unlock();
    if (!block)
        return false;
    *result = later ? CUDA_SUCCESS : after_waiting(pointer, context);
    return true;
}

bool gs_heap_free(CUdeviceptr pointer, CUresult *result)
{
    if (!gs_movable() || !pointer)
        return false;
    gs_enter();
    bool ours = freed(pointer, result);
    gs_leave();
    return ours;
}

bool gs_heap_find(CUdeviceptr address, struct gs_allocation *allocation)
{
    if (!gs_movable())
        return false;
    gs_blocks_lock();
    const struct gs_block *block = gs_block_at(address);
    if (block)
        *allocation = (struct gs_allocation){block->at, block->asked, block->id, block->context,
                                             block->device};
    bool ours =
        block
        && (block->suballocs ? gs_suballoc_at(block, address, &allocation->at, &allocation->bytes)
                             : block->use == GS_HELD && address - block->at < block->asked);
    if (ours && block->suballocs)
        allocation->id = gs_suballoc_id(block, allocation->at);
    gs_blocks_unlock();
    return ours;
}

void gs_heap_trim(int gpu)
{
    gs_blocks_lock();
    gs_cache_trim(gpu);
    gs_blocks_unlock();
}

static void end(struct gs_block *block)
{
    if (block->use == GS_CACHED)
        gs_cache_leave(block);
    if (block->suballocs)
        gs_suballocs_end(block);
    end_block(block);
}

/* Removes the deferred frees in a block that ends. Needs the lock. */
static void drop_deferred(const struct gs_block *block)
{
    for (size_t i = 0; i < deferred.count;)
        if (gs_block_at(deferred.pointer[i]) == block)
            deferred.pointer[i] = deferred.pointer[--deferred.count];
        else
            i++;
}

void gs_heap_ended(int gpu, CUcontext context)
{
    struct gs_block *block;
    if (!gs_movable())
        return;
    gs_blocks_lock();
    for (size_t i = 0; (block = gs_block_number(i));) {
        if (block->gpu == gpu && (!context || block->context == context)) {
            drop_deferred(block);
            end(block);
        } else {
            i++;
        }
    }
    gs_blocks_unlock();
}

void gs_heap_forget(void)
{
    gs_cache_forget();
    gs_suballocs_forget();
    gs_blocks_forget();
    memset(&deferred, 0, sizeof deferred);
}
