/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/heap.h"

enum { ALIGNMENT = 512 };

typedef struct block {
    uint64_t offset, size;
    bool busy;
    struct block *next;
} block;

typedef struct slab {
    gs_chunk *chunk;
    CUdeviceptr at;
    uint64_t size;
    int busy; /* blocks */
    block *blocks;
    struct slab *next;
} slab;

struct gs_heap {
    int device;
    uint64_t step, reserved;
    slab *slabs;
};

gs_heap *gs_heap_new(int device, uint64_t step)
{
    gs_heap *heap = calloc(1, sizeof *heap);
    heap->device = device;
    heap->step = step;
    return heap;
}

uint64_t gs_heap_reserved(const gs_heap *heap)
{
    return heap->reserved;
}

static block *take(slab *slab, uint64_t size)
{
    for (block *block = slab->blocks; block; block = block->next) {
        if (block->busy || block->size < size)
            continue;
        if (block->size > size) {
            struct block *rest = malloc(sizeof *rest);
            *rest = (struct block){block->offset + size, block->size - size, false, block->next};
            block->next = rest;
            block->size = size;
        }
        block->busy = true;
        slab->busy++;
        return block;
    }
    return NULL;
}

static uint64_t round_up(uint64_t size, uint64_t step)
{
    return (size + step - 1) / step * step;
}

/* A whole step, or the smallest chunk that fits when a step does not. */
static CUresult grow(gs_heap *heap, uint64_t size)
{
    gs_chunk *chunk;
    CUdeviceptr at;
    if (gs_chunk_new(heap->device, round_up(size, heap->step), false, &chunk) != CUDA_SUCCESS)
        TRY(gs_chunk_new(heap->device, gs_granules(size), false, &chunk));
    uint64_t whole = chunk->size;
    CHECK(gs_chunk_place(chunk, &at), CUDA_ERROR_OUT_OF_MEMORY);
    slab *added = calloc(1, sizeof *added);
    *added = (slab){.chunk = chunk,
                    .at = at,
                    .size = whole,
                    .blocks = malloc(sizeof *added->blocks),
                    .next = heap->slabs};
    *added->blocks = (block){0, whole, false, NULL};
    heap->slabs = added;
    heap->reserved += whole;
    return CUDA_SUCCESS;
}

CUresult gs_heap_alloc(gs_heap *heap, uint64_t size, CUdeviceptr *at)
{
    size = round_up(size, ALIGNMENT);
    for (int attempt = 0; attempt < 2; attempt++) {
        for (slab *slab = heap->slabs; slab; slab = slab->next) {
            block *block = take(slab, size);
            if (block) {
                *at = slab->at + block->offset;
                return CUDA_SUCCESS;
            }
        }
        if (attempt == 0)
            TRY(grow(heap, size));
    }
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static slab *slab_of(const gs_heap *heap, CUdeviceptr at)
{
    slab *slab = heap->slabs;
    while (slab && at - slab->at >= slab->size)
        slab = slab->next;
    return slab;
}

static void join(block *block)
{
    struct block *next = block->next;
    if (!next || next->busy || block->busy)
        return;
    block->size += next->size;
    block->next = next->next;
    free(next);
}

void gs_heap_free(gs_heap *heap, CUdeviceptr at)
{
    slab *slab = slab_of(heap, at);
    block *before = NULL, *block = slab->blocks;
    while (block->offset != at - slab->at) {
        before = block;
        block = block->next;
    }
    block->busy = false;
    slab->busy--;
    join(block);
    if (before)
        join(before);
}

static void drop(gs_heap *heap, slab **link)
{
    slab *slab = *link;
    *link = slab->next;
    heap->reserved -= slab->size;
    gs_chunk_remove(slab->chunk, slab->at);
    for (block *block = slab->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(slab);
}

void gs_heap_trim(gs_heap *heap, uint64_t keep)
{
    for (slab **link = &heap->slabs; *link && heap->reserved > keep;)
        if ((*link)->busy == 0)
            drop(heap, link);
        else
            link = &(*link)->next;
}

void gs_heap_destroy(gs_heap *heap)
{
    while (heap->slabs)
        drop(heap, &heap->slabs);
    free(heap);
}

gs_chunk *gs_heap_chunk(const gs_heap *heap, CUdeviceptr at, uint64_t *offset)
{
    slab *slab = slab_of(heap, at);
    *offset = at - slab->at;
    return slab->chunk;
}
