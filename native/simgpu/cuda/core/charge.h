/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: charge physical memory against the limits of the machine.
 * Owner: sim.slot->use[]; the machine image has no second counter (machine/image.h, invariant 2).
 * Threads: under sim.lock; each function takes the image lock itself.
 * Limits: device -1 is host memory and is never charged. Managed memory is charged to the device
 *   but not to driver cgroup limits, because the driver counts it as system memory (NVIDIA memory
 *   partitioning, r615).
 */
#ifndef GS_SIM_CUDA_CHARGE_H
#define GS_SIM_CUDA_CHARGE_H

#include "cuda/core/driver.h"

CUresult gs_charge(int device, uint64_t bytes, bool managed);
void gs_uncharge(int device, uint64_t bytes, bool managed);
/* What cuMemGetInfo answers. */
void gs_memory_info(int device, uint64_t *available, uint64_t *total);

#endif
