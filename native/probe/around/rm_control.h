/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a program may ask of the kernel module for its own work: a long timeslice, and
 *     preemption at the end of a kernel only (WFI, "wait for idle").
 * Owner: the process. The objects belong to the driver's library, whose ioctls are seen here.
 * Threads: the main thread, which creates the contexts.
 * Limits: clients of MPS have no channel groups of their own.
 */
#ifndef GS_PROBE_RM_CONTROL_H
#define GS_PROBE_RM_CONTROL_H

/* "" if the kernel module accepted it for a channel group of this process, else why not. */
const char *rm_set_long_timeslice(void);
const char *rm_set_wfi_preemption(void);

#endif
