/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: work on the GPU that has not finished uses memory; taking that memory away is an access
 *   to an illegal address, as on a real GPU, whose cuMemUnmap() waits for nothing.
 * Owner: a range knows until when it is used, and by which context.
 * Threads: under sim.lock.
 * Limits: copies, memsets and the kernels that write; not graphs' own memory.
 */
#ifndef GS_SIM_CUDA_IN_FLIGHT_H
#define GS_SIM_CUDA_IN_FLIGHT_H

#include "cuda/memory/range.h"

/* Work of a context uses these bytes until a time (ns). */
void gs_in_flight(CUcontext ctx, CUdeviceptr at, uint64_t size, uint64_t until);

/* Called before a range loses its memory. */
void gs_in_flight_unmap(const gs_range *range);

/* Xid 31: the context can do nothing more. */
void gs_illegal_address(CUcontext ctx);

#endif
