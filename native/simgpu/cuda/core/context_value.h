/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: values that libraries such as the CUDA runtime keep with a context.
 * Owner: the library owns what a value points to; the context calls `destroy` when it ends.
 * Threads: under sim.lock. `destroy` is called without it.
 * Limits: none.
 */
#ifndef GS_SIM_CUDA_CONTEXT_VALUE_H
#define GS_SIM_CUDA_CONTEXT_VALUE_H

#include "cuda/core/driver.h"

typedef void gs_value_destroy(CUcontext ctx, void *key, void *value);

typedef struct gs_context_value {
    void *key, *value;
    gs_value_destroy *destroy; /* may be NULL */
    struct gs_context_value *next;
} gs_context_value;

CUresult gs_context_value_put(CUcontext ctx, void *key, void *value, gs_value_destroy *destroy);
CUresult gs_context_value_get(CUcontext ctx, void *key, void **value);
void gs_context_value_remove(CUcontext ctx, void *key);
/* The context ends: every value is destroyed. */
void gs_context_values_end(CUcontext ctx);

#endif
