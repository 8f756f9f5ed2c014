/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: execute one operation: place it on the timeline and move its bytes.
 * Owner: the caller keeps the operation and clears it afterwards.
 * Threads: under sim.lock, from the submitting thread or from the worker.
 * Limits: host callbacks and waits on values are the worker's.
 */
#ifndef GS_SIM_CUDA_EXECUTE_H
#define GS_SIM_CUDA_EXECUTE_H

#include "cuda/execution/types.h"

CUresult gs_execute(CUstream stream, gs_op *op);

#endif
