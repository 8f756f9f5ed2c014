/* SPDX-License-Identifier: Apache-2.0 */
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

/* Freed while a stream was captured, when the driver must not be asked to wait. Guarded by the blocks' lock. */
static struct {
    CUdeviceptr *pointer;
    size_t count, room;
} deferred;

bool gs_heap_serves(const struct gs_place *place)
{
    return gs_movable() && place->gpu >= 0 && gs_chunks_possible(place->device);
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

/* No work uses it any more. Wants the lock. */
static void settle(CUdeviceptr pointer)
{
    struct gs_block *block = gs_block_at(pointer);
    if (!block || (block->suballocs && !gs_suballoc_give(block, pointer)))
        return;
    if (block->ipc_export) /* others may still look at it */
        end_block(block);
    else
        gs_cache_put(block);
}

/* Wants the lock. */
static void settle_deferred(void)
{
    while (deferred.count)
        settle(deferred.pointer[--deferred.count]);
}

/* Waits for the work of a context, which need not be the current one. */
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

/* A GPU may be full though the share is not: by others' memory, or by what we only cache. */
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

/* Far from the driver's own. */
static uint64_t fresh_id(void)
{
    static uint64_t newest = 1ull << 62;
    return __atomic_add_fetch(&newest, 1, __ATOMIC_RELAXED);
}

static CUresult large(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer)
{
    struct gs_block *block;
    uint64_t whole =
        bytes > UINT64_MAX - GS_PAGE ? UINT64_MAX : (bytes + GS_PAGE - 1) / GS_PAGE * GS_PAGE;
    CUresult result = obtain(place, whole, &block);
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
    CUdeviceptr got = 0;
    gs_enter();
    CUresult result = bytes > GS_SMALL ? large(place, bytes, &got) : small(place, bytes, &got);
    gs_leave();
    if (result == CUDA_SUCCESS)
        *pointer = got;
    return result;
}

/* The block whose allocation begins exactly there and is held. Wants the lock. */
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

bool gs_heap_find(CUdeviceptr address, struct gs_allocation *found)
{
    if (!gs_movable())
        return false;
    gs_blocks_lock();
    const struct gs_block *block = gs_block_at(address);
    if (block)
        *found = (struct gs_allocation){block->at, block->asked, block->id, block->context,
                                        block->device};
    bool ours = block
                && (block->suballocs ? gs_suballoc_at(block, address, &found->at, &found->bytes)
                                     : block->use == GS_HELD && address - block->at < block->asked);
    if (ours && block->suballocs)
        found->id = gs_suballoc_id(block, found->at);
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

/* Those that go may wait among the deferred frees. Wants the lock. */
static void forget_deferred(const struct gs_block *block)
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
            forget_deferred(block);
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
