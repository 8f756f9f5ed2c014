/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: print on stderr what a program asked for that the simulation does not have.
 * Owner: none.
 * Threads: any.
 * Limits: one line per flag, that is per function and process.
 */
#ifndef GS_SIM_CUDA_NOT_SIMULATED_H
#define GS_SIM_CUDA_NOT_SIMULATED_H

#include "gs_cuda.h"

#include <stdbool.h>

/* Prints it once per `printed`; returns CUDA_ERROR_NOT_SUPPORTED. */
CUresult gs_not_simulated(bool *printed, const char *what);

#endif
