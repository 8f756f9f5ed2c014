/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what is at an address: every allocation, mapping and registration of this process.
 * Owner: the file that allocates a kind of memory adds and removes its ranges.
 * Threads: under sim.lock; a pointer is valid until the lock is released.
 * Limits: ranges never overlap.
 */
#ifndef GS_SIM_CUDA_RANGE_H
#define GS_SIM_CUDA_RANGE_H

#include "cuda/memory/chunk.h"

typedef struct gs_range {
    CUdeviceptr base;
    uint64_t size;
    enum {
        RANGE_ALLOC,
        RANGE_SMALL,
        RANGE_POOL,
        RANGE_MAPPED,
        RANGE_MANAGED,
        RANGE_HOST,
        RANGE_REGISTERED,
        RANGE_IPC,
        RANGE_GRAPH
    } kind;
    CUcontext ctx;
    int device;
    unsigned int flags;
    unsigned long long id;
    gs_chunk *chunk;
    /*
     * RANGE_MAPPED and RANGE_IPC: where in the chunk; RANGE_MANAGED: bytes charged; RANGE_GRAPH:
     * bytes reserved.
     */
    uint64_t chunk_offset;
    CUmemoryPool pool;
    struct gs_heap *heap;
    uint64_t used_until; /* by work on the GPU, in ns */
    CUcontext user;      /* whose work that is */
} gs_range;

gs_range *gs_range_add(const gs_range *range);
gs_range *gs_range_find(CUdeviceptr at); /* the range that contains `at` */
gs_range *gs_range_at(CUdeviceptr base); /* the range that starts there */
void gs_range_remove(gs_range *range);
size_t gs_range_count(void);
gs_range *gs_range_nth(size_t i); /* in order of addresses */
/*
 * A chunk mapped at `base`, exported by this or another process: `length` bytes from `inside` on
 * become one range.
 */
gs_range *gs_range_import(CUcontext ctx, gs_chunk *chunk, CUdeviceptr base, uint64_t inside,
                          uint64_t length);

#endif
