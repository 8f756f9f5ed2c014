/* SPDX-License-Identifier: Apache-2.0 */
/* The process: cuInit, and the end of CUDA in a forked child. */
#include "cuda/core/entry.h"
#include "cuda/core/mps_client.h"
#include "cuda/core/visible_devices.h"
#include "machine/slot.h"

static void in_child(void)
{
    if (!sim.ready)
        return;
    gs_slot_forget_after_fork();
    pthread_mutex_init(&sim.lock, NULL);
    sim.ready = false;
    sim.forked = true; /* CUDA does not survive a fork: every call answers "not initialized" */
    sim.slot = NULL;
}

static bool claim_slot(void)
{
    gs_image_lock(sim.image);
    sim.slot = gs_slot_mine(sim.image);
    gs_image_unlock(sim.image);
    return sim.slot != NULL;
}

static CUresult initialize(void)
{
    static bool registered;
    CHECK(!sim.forked, CUDA_ERROR_NOT_INITIALIZED);
    sim.image = gs_image_attach();
    CHECK(sim.image, CUDA_ERROR_NO_DEVICE);
    CHECK(!sim.image->driver_mismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
    gs_visible_devices();
    CHECK(sim.count > 0, CUDA_ERROR_NO_DEVICE);
    CHECK(claim_slot(), CUDA_ERROR_OPERATING_SYSTEM);
    TRY(gs_mps_join());
    if (!registered)
        pthread_atfork(NULL, NULL, in_child);
    registered = true;
    sim.ready = true;
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags)
{
    ENTER(NEED_NOTHING);
    CHECK(flags == 0, CUDA_ERROR_INVALID_VALUE);
    return sim.ready ? CUDA_SUCCESS : initialize();
}

CUresult cuDriverGetVersion(int *version)
{
    CHECK(version, CUDA_ERROR_INVALID_VALUE);
    const gs_image *image = gs_image_attach();
    *version = image ? (int)image->cuda : CUDA_VERSION;
    return CUDA_SUCCESS;
}
