/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: small blocks cut from larger chunks, for cuMemAlloc below 1 MiB and for memory pools.
 * Owner: a context or a pool owns its heap.
 * Threads: under sim.lock.
 * Limits: blocks are multiples of 512 bytes; a heap grows in steps and falls back to the smallest
 *   chunk that fits.
 */
#ifndef GS_SIM_CUDA_HEAP_H
#define GS_SIM_CUDA_HEAP_H

#include "cuda/memory/chunk.h"

typedef struct gs_heap gs_heap;

gs_heap *gs_heap_new(int device, uint64_t step);
CUresult gs_heap_alloc(gs_heap *heap, uint64_t size, CUdeviceptr *at);
void gs_heap_free(gs_heap *heap, CUdeviceptr at);
/* Frees empty chunks while more than `keep` bytes are reserved. */
void gs_heap_trim(gs_heap *heap, uint64_t keep);
uint64_t gs_heap_reserved(const gs_heap *heap);
void gs_heap_destroy(gs_heap *heap);
/* The chunk that contains `at`. */
gs_chunk *gs_heap_chunk(const gs_heap *heap, CUdeviceptr at, uint64_t *offset);

#endif
