/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: allocate and free device memory of every kind.
 * Owner: a context owns its allocations; pools and graphs own theirs.
 * Threads: under sim.lock. Callers wait first for work that may still use the memory.
 * Limits: up to 1 MiB from the context's heap, above that a chunk per allocation.
 */
#ifndef GS_SIM_CUDA_ALLOCATION_H
#define GS_SIM_CUDA_ALLOCATION_H

#include "cuda/memory/range.h"

CUresult gs_alloc(CUcontext ctx, size_t size, CUdeviceptr *at);
CUresult gs_free(CUdeviceptr at);
void gs_free_of_context(CUcontext ctx);
void gs_free_imported(gs_range *range); /* of RANGE_IPC */

#endif
