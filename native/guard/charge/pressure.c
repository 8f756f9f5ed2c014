/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/pressure.h"

#include <unistd.h>

#include "hooks/memory/pool.h"
#include "hooks/work/graph.h"
#include "share/region.h"
#include "swap/blocks/heap.h"

enum { PATIENCE = 25, PAUSE_US = 2000 };

void gs_relieve(int gpu)
{
    /* A capture in progress elsewhere must not be spoilt by calls that the program did not make. */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    bool relaxed = cuda()->cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
    gs_pools_trim(gpu);
    gs_graph_trim(gpu);
    gs_heap_trim(gpu);
    if (relaxed)
        cuda()->cuThreadExchangeStreamCaptureMode(&mode);
}

void gs_settle(int gpu)
{
    gs_pools_settle(gpu);
    gs_graph_settle(gpu);
}

/* Other processes of the share see the pressure within 10 ms and let go of what they only cache. */
static bool taken_from_others(enum gs_model model, int gpu, uint64_t bytes)
{
    struct gs_region *region = gs_shared_region();
    const uint64_t *cached = &region->gpu[gpu].cached;
    bool taken = false;
    if (__atomic_load_n(cached, __ATOMIC_RELAXED))
        __atomic_add_fetch(&region->pressure, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < PATIENCE && !taken && __atomic_load_n(cached, __ATOMIC_RELAXED); i++) {
        usleep(PAUSE_US);
        taken = gs_take(model, gpu, bytes);
    }
    return taken || gs_take(model, gpu, bytes);
}

bool gs_claim(enum gs_model model, int gpu, uint64_t bytes)
{
    if (gs_take(model, gpu, bytes))
        return true;
    gs_relieve(gpu);
    return gs_take(model, gpu, bytes) || (gs_movable() && taken_from_others(model, gpu, bytes));
}

CUresult gs_refuse(int gpu)
{
    gs_count_denied(gpu);
    return CUDA_ERROR_OUT_OF_MEMORY;
}
