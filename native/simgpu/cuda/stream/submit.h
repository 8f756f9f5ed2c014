/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the one way of an operation into a stream: captured, queued for the worker, or executed
 *   now.
 * Owner: gs_submit() takes over what the operation owns, on success and on failure.
 * Threads: under sim.lock.
 * Limits: errors of a queued operation are not reported, as on a real GPU; faults break the context
 *   instead.
 */
#ifndef GS_SIM_CUDA_SUBMIT_H
#define GS_SIM_CUDA_SUBMIT_H

#include "cuda/execution/types.h"

CUresult gs_submit(CUcontext ctx, CUstream stream, gs_op *op);

#endif
