/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory pools: a heap with counters, limits and a release threshold.
 * Owner: pool.c keeps the list of pools; cuda/alloc/pool.c has the entry points.
 * Threads: under sim.lock.
 * Limits: an imported pool contains only memory that its exporter allocated.
 */
#ifndef GS_SIM_CUDA_POOL_H
#define GS_SIM_CUDA_POOL_H

#include "cuda/memory/heap.h"

struct CUmemPoolHandle_st {
    int device;
    bool builtin;
    int fd; /* imported: the memory of another process */
    gs_heap *heap;
    uint64_t used, used_high, reserved_high, threshold, max_size;
    uint64_t reuse[4];
    CUmemPoolProps props;
    CUmemoryPool next;
};

CUmemoryPool gs_pool_new(int device, const CUmemPoolProps *props);
void gs_pool_destroy(CUmemoryPool pool);
CUmemoryPool gs_pool_default(int device);
CUmemoryPool gs_pool_current(int device);
CUmemoryPool gs_pool_import(int fd); /* takes over the descriptor */
bool gs_pool_exportable(CUmemoryPool pool);
CUresult gs_pool_alloc(CUmemoryPool pool, size_t size, CUdeviceptr *at);
CUresult gs_pool_free(CUdeviceptr at);
/* At a synchronization: memory above the release threshold is freed. */
void gs_pools_settle(CUcontext ctx);

#endif
