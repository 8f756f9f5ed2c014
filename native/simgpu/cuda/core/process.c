/* SPDX-License-Identifier: Apache-2.0 */
/* The process: cuInit, and what every call does when it comes and goes. */
#include "cuda/core/sim.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

gs_sim sim = {.lock = PTHREAD_MUTEX_INITIALIZER, .mps_socket = -1};

void gs_slot_forget_after_fork(void);

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

static bool take_slot(void)
{
    gs_image_lock(sim.image);
    sim.slot = gs_slot_mine(sim.image);
    gs_image_unlock(sim.image);
    return sim.slot != NULL;
}

static CUresult initialize(void)
{
    static bool watching;
    CHECK(!sim.forked, CUDA_ERROR_NOT_INITIALIZED);
    sim.image = gs_image_attach();
    CHECK(sim.image, CUDA_ERROR_NO_DEVICE);
    CHECK(!sim.image->driver_mismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
    gs_visible_devices();
    CHECK(sim.count > 0, CUDA_ERROR_NO_DEVICE);
    CHECK(take_slot(), CUDA_ERROR_OPERATING_SYSTEM);
    TRY(gs_mps_join());
    if (!watching)
        pthread_atfork(NULL, NULL, in_child);
    watching = true;
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

/* A checkpointed process' calls sleep here until somebody unlocks it. */
static void pass_checkpoint(void)
{
    for (;;) {
        int state = __atomic_load_n((int *)&sim.slot->checkpoint, __ATOMIC_SEQ_CST);
        if (state == GS_RUNNING) {
            __atomic_add_fetch(&sim.slot->in_call, 1, __ATOMIC_SEQ_CST);
            if (__atomic_load_n((int *)&sim.slot->checkpoint, __ATOMIC_SEQ_CST) == GS_RUNNING)
                return;
            __atomic_sub_fetch(&sim.slot->in_call, 1, __ATOMIC_SEQ_CST);
            continue;
        }
        syscall(SYS_futex, &sim.slot->checkpoint, FUTEX_WAIT, state, NULL, NULL, 0);
    }
}

gs_call gs_enter(gs_need need)
{
    gs_call call = {0};
    if (need != NEED_NOTHING) {
        if (!__atomic_load_n(&sim.ready, __ATOMIC_ACQUIRE)) {
            call.error = CUDA_ERROR_NOT_INITIALIZED;
            return call;
        }
        pass_checkpoint();
        call.counted = true;
    }
    pthread_mutex_lock(&sim.lock);
    call.locked = true;
    if (need == NEED_CONTEXT) {
        call.ctx = gs_context_current();
        call.error = call.ctx ? gs_context_health(call.ctx) : CUDA_ERROR_INVALID_CONTEXT;
    }
    if (call.error)
        gs_leave(&call); /* ENTER returns before its cleanup sees a changed copy */
    return call;
}

void gs_leave(gs_call *call)
{
    if (call->locked)
        pthread_mutex_unlock(&sim.lock);
    if (call->counted)
        __atomic_sub_fetch(&sim.slot->in_call, 1, __ATOMIC_SEQ_CST);
    call->locked = call->counted = false;
}
