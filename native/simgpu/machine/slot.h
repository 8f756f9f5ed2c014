/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the slots of processes: claim one, find one, reclaim those of ended processes.
 * Owner: a slot belongs to the process that holds its byte lock (image.h, invariant 1).
 * Threads: under the image lock, except gs_slot_forget_after_fork().
 * Limits: GS_MAX_SLOTS processes on a machine.
 */
#ifndef GS_SIM_SLOT_H
#define GS_SIM_SLOT_H

#include "machine/image.h"

/* Of this process, claimed at the first call; NULL: the table is full. */
gs_slot *gs_slot_mine(gs_image *image);
gs_slot *gs_slot_of(gs_image *image, pid_t pid); /* NULL: not a live process of the machine */
/* Frees the slots, MPS clients, servers and daemons of processes that ended. */
void gs_image_reap(gs_image *image);
/* In a forked child, which shares the parent's lock: it must not keep the lock, and has no slot. */
void gs_slot_forget_after_fork(void);

#endif
