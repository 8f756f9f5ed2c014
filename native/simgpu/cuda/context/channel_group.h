/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: report a new context's channel group to the kernel module, as the real library does.
 * Owner: one descriptor of /dev/null per process, never closed.
 * Threads: under sim.lock.
 * Limits: nothing reads the report except libraries that interpose ioctl().
 */
#ifndef GS_SIM_CUDA_CHANNEL_GROUP_H
#define GS_SIM_CUDA_CHANNEL_GROUP_H

#include "cuda/core/driver.h"

void gs_channel_group_new(CUcontext ctx); /* clients of MPS have no group of their own */

#endif
