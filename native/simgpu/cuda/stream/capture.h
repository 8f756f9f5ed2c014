/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: stream capture: operations become graph nodes instead of work.
 * Owner: capture.c lists every capture; the graph is the program's once the capture has ended.
 * Threads: under sim.lock; the capture mode is per thread.
 * Limits: a capture ends on the stream that began it.
 */
#ifndef GS_SIM_CUDA_CAPTURE_H
#define GS_SIM_CUDA_CAPTURE_H

#include "cuda/execution/types.h"

/* Graph NULL: a new one. */
void gs_capture_begin(CUstream stream, CUstreamCaptureMode mode, CUgraph graph);
CUresult gs_capture_op(CUstream stream, gs_op *op); /* takes over what `op` owns */
CUresult gs_capture_forbids(CUcontext ctx); /* use of the legacy stream */
CUresult gs_capture_unsafe(void); /* the result of calls that a capture does not allow */
CUresult gs_capture_wait(CUstream stream, CUevent event);
CUresult gs_capture_record(CUstream stream, CUevent event);
/* Returns the previous one. */
CUstreamCaptureMode gs_capture_exchange_mode(CUstreamCaptureMode mode);
void gs_frontier_set(gs_frontier *frontier, const CUgraphNode *nodes, size_t count);

#endif
