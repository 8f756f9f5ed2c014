/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: create and destroy contexts.
 * Owner: sim.primary[] lists primary contexts; the program owns the others. A context owns its
 *   streams, modules and allocations.
 * Threads: under sim.lock.
 * Limits: a context costs device->context_cost bytes; compute mode and MPS decide which process may
 *   have one.
 */
#ifndef GS_SIM_CUDA_CONTEXT_CONTEXT_H
#define GS_SIM_CUDA_CONTEXT_CONTEXT_H

#include "cuda/core/driver.h"

CUresult gs_primary(int ordinal, CUcontext *ctx); /* opened if it is not */
/* Of the CUDA runtime, which refers to it from now on. Opened when it becomes current. */
CUcontext gs_primary_for_runtime(int ordinal);

#endif
