/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which operations of a context wait for which others.
 * Owner: none; it reads streams.
 * Threads: under sim.lock.
 * Limits: within one context; work of other processes is ordered by the timeline.
 */
#ifndef GS_SIM_CUDA_ORDER_H
#define GS_SIM_CUDA_ORDER_H

#include "cuda/execution/types.h"

uint64_t gs_stream_ready(CUstream stream); /* the earliest start of its next operation */
/* Whether an operation that was submitted up to `sequence` is still queued. */
/* In the stream; for the legacy stream, in its context. */
bool gs_stream_queued(CUstream stream, uint64_t sequence);
bool gs_context_queued(CUcontext ctx, uint64_t sequence);
/* Whether operations before `sequence` are queued in a stream that this one is ordered with. */
bool gs_stream_behind(CUstream stream, uint64_t sequence);

#endif
