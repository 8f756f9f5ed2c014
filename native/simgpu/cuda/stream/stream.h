/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: create, free and look up streams.
 * Owner: a context lists its streams; the legacy stream is the first and lives as long as the
 *   context.
 * Threads: under sim.lock.
 * Limits: priorities 0 (lowest) to -5; they have no effect on time.
 */
#ifndef GS_SIM_CUDA_STREAM_H
#define GS_SIM_CUDA_STREAM_H

#include "cuda/execution/types.h"

CUstream gs_stream_new(CUcontext ctx, unsigned int flags, int priority);
void gs_stream_free(CUstream stream);
/*
 * The stream behind a handle, the two special ones included. Invalidates captures that the legacy
 * stream would break.
 */
CUresult gs_stream_of(CUcontext ctx, CUstream handle, CUstream *stream);

#endif
