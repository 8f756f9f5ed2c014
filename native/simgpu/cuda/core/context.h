/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a context's state, whether it still works, and which one is current on a thread.
 * Owner: cuda/context/context.c creates and destroys contexts; each thread owns its stack of
 *   current ones.
 * Threads: under sim.lock.
 * Limits: 128 contexts on a thread's stack. A broken context stays broken, as on a real GPU.
 */
#ifndef GS_SIM_CUDA_CONTEXT_H
#define GS_SIM_CUDA_CONTEXT_H

#include "cuda/core/driver.h"

struct CUctx_st {
    CUdevice ordinal;
    int device; /* index in the image */
    unsigned int flags;
    int refs;
    bool primary, alive;
    bool of_runtime; /* opened when it becomes current */
    unsigned long long id;
    uint64_t fault_seq, server_fault_seq; /* faults up to these are older than the context */
    int fault_device;
    CUresult broken; /* the error of every later call */
    CUstream streams; /* list; the legacy stream is always first */
    CUmodule modules;
    struct gs_heap *heap; /* allocations below a granule */
    size_t limits[CU_LIMIT_MAX];
    CUfunc_cache cache;
    uint64_t peers; /* bit per ordinal */
    struct gs_context_value *values;
};

bool gs_context_alive(CUcontext ctx);
CUresult gs_context_health(CUcontext ctx);
CUcontext gs_context_current(void);
bool gs_context_push(CUcontext ctx); /* false: the stack is full */
CUcontext gs_context_pop(void);      /* NULL: the stack is empty */

#endif
