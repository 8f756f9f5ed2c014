/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/pressure.h"

#include <unistd.h>

#include "driver/quiesce.h"
#include "share/attach.h"

enum { PATIENCE = 25, PAUSE_US = 2000, SHRINKERS = 4 };

/* Invariant 1. */
static struct gs_shrinker shrinkers[SHRINKERS];
static unsigned count;

void gs_pressure_add(struct gs_shrinker shrinker)
{
    if (count < SHRINKERS)
        shrinkers[count++] = shrinker;
}

void gs_reclaim(int gpu)
{
    /* Invariant 4. */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    bool relaxed = cuda()->cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
    for (unsigned i = 0; i < count; i++)
        shrinkers[i].trim(gpu);
    if (relaxed)
        cuda()->cuThreadExchangeStreamCaptureMode(&mode);
}

void gs_settle(int gpu)
{
    for (unsigned i = 0; i < count; i++)
        if (shrinkers[i].settle)
            shrinkers[i].settle(gpu);
}

/* The third stage: the other processes give up their caches. */
static bool reclaim_from_others(enum gs_model model, int gpu, uint64_t bytes)
{
    struct gs_region *region = gs_shared_region();
    bool taken = false;
    if (gs_region_cached(region, gpu))
        __atomic_add_fetch(&region->pressure, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < PATIENCE && !taken && gs_region_cached(region, gpu); i++) {
        usleep(PAUSE_US);
        taken = gs_charge(model, gpu, bytes);
    }
    return taken || gs_charge(model, gpu, bytes);
}

bool gs_charge_or_reclaim(enum gs_model model, int gpu, uint64_t bytes)
{
    if (gs_charge(model, gpu, bytes))
        return true;
    gs_reclaim(gpu);
    return gs_charge(model, gpu, bytes) || (gs_movable() && reclaim_from_others(model, gpu, bytes));
}

CUresult gs_refuse(int gpu)
{
    gs_count_denied(gpu);
    return CUDA_ERROR_OUT_OF_MEMORY;
}
