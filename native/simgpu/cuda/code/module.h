/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: modules and libraries: load, look up, unload.
 * Owner: a context lists its modules; the program owns libraries.
 * Threads: under sim.lock.
 * Limits: compressed fatbins hide their names, so such a module has every name that is asked for; its
 *   variables are of 64 KiB.
 */
#ifndef GS_SIM_CUDA_MODULE_H
#define GS_SIM_CUDA_MODULE_H

#include "cuda/core/driver.h"

void gs_modules_free(CUcontext ctx);

#endif
