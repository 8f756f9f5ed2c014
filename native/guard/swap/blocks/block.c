/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/block.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "charge/charge.h"
#include "share/attach.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_block **blocks; /* by address */
static size_t count, room;

void gs_blocks_lock(void)
{
    pthread_mutex_lock(&lock);
}

void gs_blocks_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* The number of blocks that begin at or before an address. */
static size_t upto(CUdeviceptr address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[middle]->at <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void movable(uint64_t by)
{
    struct gs_region_slot *slot = gs_shared_slot();
    if (slot)
        __atomic_add_fetch(&slot->movable, by, __ATOMIC_RELAXED);
}

static bool insert(struct gs_block *block)
{
    if (count == room) {
        size_t larger = room ? room * 2 : 64;
        struct gs_block **moved = realloc(blocks, larger * sizeof *moved);
        if (!moved)
            return false;
        blocks = moved;
        room = larger;
    }
    size_t place = upto(block->at);
    memmove(blocks + place + 1, blocks + place, (count - place) * sizeof *blocks);
    blocks[place] = block;
    count++;
    movable(block->bytes);
    return true;
}

static void take_out(const struct gs_block *block)
{
    size_t place = upto(block->at) - 1;
    memmove(blocks + place, blocks + place + 1, (count - place - 1) * sizeof *blocks);
    count--;
    movable(0 - block->bytes);
}

struct gs_block *gs_block_at(CUdeviceptr address)
{
    size_t place = upto(address);
    struct gs_block *block = place ? blocks[place - 1] : NULL;
    return block && address - block->at < block->bytes ? block : NULL;
}

struct gs_block *gs_block_number(size_t place)
{
    return place < count ? blocks[place] : NULL;
}

static void release(struct gs_block *block)
{
    CUdeviceptr at = block->at;
    for (unsigned i = 0; i < block->count; at += block->chunk[i++].bytes)
        gs_chunk_drop(&block->chunk[i], at);
    cuda()->cuMemAddressFree(block->at, block->bytes);
}

static CUresult fill(struct gs_block *block)
{
    CUdeviceptr at = block->at;
    for (unsigned i = 0; i < block->count; i++) {
        CUresult result = gs_chunk_create(&block->chunk[i], block->device);
        if (result == CUDA_SUCCESS)
            result = gs_chunk_map(&block->chunk[i], at);
        if (result != CUDA_SUCCESS)
            return result;
        at += block->chunk[i].bytes;
    }
    return gs_chunks_open(block->at, block->bytes, block->device);
}

static struct gs_block *described(const struct gs_place *place, uint64_t bytes)
{
    unsigned chunks = (unsigned)((bytes + GS_CHUNK - 1) / GS_CHUNK);
    struct gs_block *block = calloc(1, sizeof *block + chunks * sizeof *block->chunk);
    if (!block)
        return NULL;
    block->bytes = bytes;
    block->context = place->context;
    block->device = place->device;
    block->gpu = place->gpu;
    block->count = chunks;
    for (unsigned i = 0; i < chunks; i++)
        block->chunk[i].bytes = i + 1 < chunks ? GS_CHUNK : bytes - i * GS_CHUNK;
    return block;
}

static CUresult backed(struct gs_block *block)
{
    CUresult result = cuda()->cuMemAddressReserve(&block->at, block->bytes, GS_PAGE, 0, 0);
    if (result != CUDA_SUCCESS)
        return result;
    result = fill(block);
    if (result != CUDA_SUCCESS)
        release(block);
    return result;
}

CUresult gs_block_make(const struct gs_place *place, uint64_t bytes, struct gs_block **made)
{
    struct gs_block *block = described(place, bytes);
    if (!block)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* Relaxed, because these calls would invalidate a capture of another thread. */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    bool relaxed = cuda()->cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
    CUresult result = backed(block);
    if (relaxed)
        cuda()->cuThreadExchangeStreamCaptureMode(&mode);
    gs_blocks_lock();
    if (result == CUDA_SUCCESS && !insert(block)) {
        release(block);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    gs_blocks_unlock();
    if (result != CUDA_SUCCESS)
        free(block);
    else
        *made = block;
    return result;
}

void gs_block_end(struct gs_block *block)
{
    take_out(block);
    release(block);
    gs_uncharge(GS_EXACT, block->gpu, block->bytes);
    free(block);
}

void gs_blocks_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    blocks = NULL;
    count = room = 0;
}
