/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: copies and fills: one description (CUDA_MEMCPY3D) for every form, checked, timed and
 *   executed.
 * Owner: none; the memory belongs to ranges and arrays.
 * Threads: under sim.lock.
 * Limits: bytes move when an operation is executed, not when it completes.
 */
#ifndef GS_SIM_CUDA_COPY_H
#define GS_SIM_CUDA_COPY_H

#include "cuda/core/driver.h"

CUresult gs_copy_check(const CUDA_MEMCPY3D *copy);
CUresult gs_memset_check(const CUDA_MEMSET_NODE_PARAMS *fill);
void gs_copy_run(const CUDA_MEMCPY3D *copy);
/* Both sides are used until then. */
void gs_copy_in_flight(CUcontext ctx, const CUDA_MEMCPY3D *copy, uint64_t until);
uint64_t gs_copy_time(CUcontext ctx, const CUDA_MEMCPY3D *copy);
void gs_memset_run(const CUDA_MEMSET_NODE_PARAMS *fill);
CUDA_MEMCPY3D gs_copy_linear(CUdeviceptr to, CUdeviceptr from, size_t bytes);

#endif
