/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/entry.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cuda/core/context.h"

/*
 * While the process is checkpointed its calls sleep here. The count lets a checkpoint wait for
 * calls in progress.
 */
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
    /* ENTER returns before its cleanup sees a changed copy. */
    if (call.error)
        gs_leave(&call);
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
