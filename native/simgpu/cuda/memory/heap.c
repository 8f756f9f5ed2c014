/* SPDX-License-Identifier: Apache-2.0 */
/* Small blocks out of bigger chunks: cuMemAlloc below 1 MiB, and memory pools. */
#include "cuda/core/sim.h"

#include <sys/mman.h>

enum { ALIGNMENT = 512 };

typedef struct block {
    uint64_t offset, size;
    bool busy;
    struct block *next;
} block;

typedef struct piece {
    gs_chunk *chunk;
    CUdeviceptr at;
    uint64_t size;
    int busy; /* blocks */
    block *blocks;
    struct piece *next;
} piece;

struct gs_heap {
    int device;
    uint64_t step, reserved;
    piece *pieces;
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

static block *take(piece *piece, uint64_t size)
{
    for (block *block = piece->blocks; block; block = block->next) {
        if (block->busy || block->size < size)
            continue;
        if (block->size > size) {
            struct block *rest = malloc(sizeof *rest);
            *rest = (struct block){block->offset + size, block->size - size, false, block->next};
            block->next = rest;
            block->size = size;
        }
        block->busy = true;
        piece->busy++;
        return block;
    }
    return NULL;
}

static uint64_t round_up(uint64_t size, uint64_t step)
{
    return (size + step - 1) / step * step;
}

static CUresult grow(gs_heap *heap, uint64_t size)
{
    uint64_t whole = round_up(size, heap->step);
    gs_chunk *chunk;
    if (gs_chunk_new(heap->device, whole, false, &chunk) != CUDA_SUCCESS) {
        whole = round_up(size, GS_GRANULE); /* a full step no longer fits */
        TRY(gs_chunk_new(heap->device, whole, false, &chunk));
    }
    piece *fresh = calloc(1, sizeof *fresh);
    fresh->chunk = chunk;
    fresh->size = whole;
    fresh->at = gs_arena_take(whole, GS_GRANULE, 0);
    fresh->blocks = malloc(sizeof *fresh->blocks);
    *fresh->blocks = (block){0, whole, false, NULL};
    fresh->next = heap->pieces;
    heap->pieces = fresh;
    heap->reserved += whole;
    return fresh->at && gs_chunk_map(chunk, 0, fresh->at, whole, PROT_READ | PROT_WRITE)
               ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult gs_heap_alloc(gs_heap *heap, uint64_t size, CUdeviceptr *at)
{
    size = round_up(size, ALIGNMENT);
    for (int attempt = 0; attempt < 2; attempt++) {
        for (piece *piece = heap->pieces; piece; piece = piece->next) {
            block *block = take(piece, size);
            if (block) {
                *at = piece->at + block->offset;
                return CUDA_SUCCESS;
            }
        }
        if (attempt == 0)
            TRY(grow(heap, size));
    }
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static piece *piece_of(const gs_heap *heap, CUdeviceptr at)
{
    piece *piece = heap->pieces;
    while (piece && at - piece->at >= piece->size)
        piece = piece->next;
    return piece;
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
    piece *piece = piece_of(heap, at);
    block *before = NULL, *block = piece->blocks;
    while (block->offset != at - piece->at) {
        before = block;
        block = block->next;
    }
    block->busy = false;
    piece->busy--;
    join(block);
    if (before)
        join(before);
}

static void drop(gs_heap *heap, piece **link)
{
    piece *piece = *link;
    *link = piece->next;
    heap->reserved -= piece->size;
    gs_arena_unmap(piece->at, piece->size);
    gs_arena_give(piece->at, piece->size);
    gs_chunk_drop(piece->chunk);
    for (block *block = piece->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(piece);
}

void gs_heap_trim(gs_heap *heap, uint64_t keep)
{
    for (piece **link = &heap->pieces; *link && heap->reserved > keep;)
        if ((*link)->busy == 0)
            drop(heap, link);
        else
            link = &(*link)->next;
}

void gs_heap_destroy(gs_heap *heap)
{
    while (heap->pieces)
        drop(heap, &heap->pieces);
    free(heap);
}

gs_chunk *gs_heap_chunk(const gs_heap *heap, CUdeviceptr at, uint64_t *offset)
{
    piece *piece = piece_of(heap, at);
    *offset = at - piece->at;
    return piece->chunk;
}
