/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which GPU of the region a CUDA device is. MIG instances have a UUID of their own.
 * Owner: device.c, which remembers the answer per device. Threads: any; takes no lock of its own.
 * Limits: 128 devices; an ordinal is asked about until the driver has answered once, as it never
 * changes its meaning while a process lives.
 */
#ifndef GS_DEVICE_H
#define GS_DEVICE_H

#include "driver/real.h"

/* The GPU of a device ordinal, or -1. */
int gs_gpu_of(CUdevice device);

/* The same for an allocation: a GPU that the share does not have is counted. */
int gs_gpu_taken(CUdevice device);

/* The same for a memory location; -1 for the host. */
int gs_gpu_at(const CUmemLocation *location);

#endif
