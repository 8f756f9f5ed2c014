/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: from ordinals to devices of the machine image.
 * Owner: the image owns the devices; sim.visible maps ordinals to them.
 * Threads: under sim.lock; what the device struct holds is read without the image lock where one
 *   field is enough.
 * Limits: after a restore on another GPU an index keeps its name, and gs_home() says where it lives
 *   now.
 */
#ifndef GS_SIM_CUDA_DEVICE_H
#define GS_SIM_CUDA_DEVICE_H

#include "cuda/core/driver.h"

CUresult gs_ordinal(CUdevice ordinal, gs_device **device);
int gs_ordinal_of(int device); /* -1: not visible */
/* The index in the image of the GPU that holds the memory of `device` now. */
int gs_home(int device);
gs_device *gs_device_of(int device);
gs_use *gs_use_of(int device);
/* "GPU-xxxxxxxx-..." to 16 bytes; false: not 32 digits. */
bool gs_uuid(const char *text, CUuuid *uuid);

#endif
