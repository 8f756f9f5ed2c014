/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: apply CUDA_VISIBLE_DEVICES: which devices of the machine this process sees, and in which
 *   order.
 * Owner: sim.visible and sim.count.
 * Threads: under sim.lock, from cuInit only.
 * Limits: ordinals, UUIDs and their abbreviations, MIG UUIDs and their form before driver 470.
 */
#ifndef GS_SIM_CUDA_VISIBLE_DEVICES_H
#define GS_SIM_CUDA_VISIBLE_DEVICES_H

#include "cuda/core/driver.h"

void gs_visible_devices(void);

#endif
