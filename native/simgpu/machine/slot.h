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
/* Its pid as this process sees it. */
pid_t gs_slot_pid(const gs_slot *slot);
/* Keeps an entry of daemons[] or servers[] from being reaped, until the process ends or drops it. */
void gs_entry_hold(const gs_image *image, const void *entry);
void gs_entry_drop(const gs_image *image, const void *entry);
/* Frees the slots, MPS clients, servers and daemons of processes that ended. */
void gs_image_reap(gs_image *image);
/* In a forked child, which shares the parent's lock: it must not keep the lock, and has no slot. */
void gs_slot_forget_after_fork(void);

#endif
