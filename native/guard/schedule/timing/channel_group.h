/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel groups of this process' contexts, and how long each keeps a GPU that others want too
 * (its timeslice).
 *
 * The driver's library sets that with the kernel module when it makes a context: control
 * NVA06C_CTRL_CMD_SET_TIMESLICE of the open kernel modules (ctrla06c.h, 2048 us with driver 580).
 * The guard sees that call go by and can repeat it with another value. At the end of a timeslice
 * the GPU stops even within a kernel; it changes over in about 160 us (H200).
 *
 * Owner: the process. Threads: any, under one lock.
 * Limits: 64 groups; a full table loses the oldest. Clients of MPS have no groups of their own, and
 * where the call is not seen nothing is ever set.
 */
#ifndef GS_CHANNEL_GROUP_H
#define GS_CHANNEL_GROUP_H

#include <stdint.h>

/*
 * The GPU of the contexts that this thread creates in between; -1: a GPU that is not in the share.
 */
void gs_channel_groups_begin(int gpu);
void gs_channel_groups_end(void);

/* Microseconds; 0: the value of the driver. Costs two loads while nothing changes. */
void gs_channel_groups_set_timeslice(int gpu, uint32_t us);

/* The last value requested; 0: the value of the driver, or there are no groups. */
uint32_t gs_channel_groups_timeslice(int gpu);

/* In the child of a fork. */
void gs_channel_groups_forget(void);

#endif
