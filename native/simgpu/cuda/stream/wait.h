/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: wait for a stream, a context or a time.
 * Owner: none.
 * Threads: under sim.lock, which is released while waiting; handles must be checked again
 *   afterwards.
 * Limits: work submitted during the wait is not waited for.
 */
#ifndef GS_SIM_CUDA_WAIT_H
#define GS_SIM_CUDA_WAIT_H

#include "cuda/execution/types.h"

CUresult gs_wait_until(uint64_t time, CUcontext ctx); /* ends early when the context breaks */
CUresult gs_stream_wait(CUstream stream);
CUresult gs_context_wait(CUcontext ctx);

#endif
