/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_DEVICE_H
#define GS_DEVICE_H

#include "driver/real.h"

/* The region's GPU behind a driver ordinal (MIG instances have a UUID of their own), or -1. */
int gs_gpu_of(CUdevice device);

/* The same where memory is asked for: an unlisted GPU is counted. */
int gs_gpu_taken(CUdevice device);

/* The same for a location; the host is -1. */
int gs_gpu_at(const CUmemLocation *location);

#endif
