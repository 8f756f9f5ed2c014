/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what every entry point does first and last.
 * Owner: the entry point; ENTER() declares `call` and ends it on every return.
 * Threads: between ENTER() and the return the calling thread holds sim.lock. Waiting functions
 *   release it meanwhile.
 * Limits: a checkpointed process' calls sleep in ENTER() until the process is unlocked.
 */
#ifndef GS_SIM_CUDA_ENTRY_H
#define GS_SIM_CUDA_ENTRY_H

#include "cuda/core/driver.h"

typedef enum { NEED_NOTHING, NEED_INIT, NEED_CONTEXT } gs_need;

typedef struct gs_call {
    CUresult error;
    CUcontext ctx; /* the current context, for NEED_CONTEXT */
    bool counted, locked;
} gs_call;

gs_call gs_enter(gs_need need);
void gs_leave(gs_call *call);

#define ENTER(need)                                                   \
    gs_call call __attribute__((cleanup(gs_leave))) = gs_enter(need); \
    if (call.error)                                                   \
    return call.error

#endif
