/* SPDX-License-Identifier: Apache-2.0 */
#include "relief.h"

#include "graph.h"
#include "pool.h"

void gs_relieve(int gpu)
{
    /* A capture in progress elsewhere must not be spoilt by calls that the program did not make. */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    bool relaxed = cuda()->cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
    gs_pools_trim(gpu);
    gs_graph_trim(gpu);
    if (relaxed)
        cuda()->cuThreadExchangeStreamCaptureMode(&mode);
}

void gs_settle(int gpu)
{
    gs_pools_settle(gpu);
    gs_graph_settle(gpu);
}

bool gs_claim(enum gs_model model, int gpu, uint64_t bytes)
{
    if (gs_take(model, gpu, bytes))
        return true;
    gs_relieve(gpu);
    return gs_take(model, gpu, bytes);
}

CUresult gs_refuse(int gpu)
{
    gs_count_denied(gpu);
    return CUDA_ERROR_OUT_OF_MEMORY;
}
