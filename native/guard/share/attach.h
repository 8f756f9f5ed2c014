/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share of this process: the region it has mapped and its slot in it. A GPU is its index in the
 * region.
 * Owner: attach.c maps the region once, at the first call of gs_active(), and keeps it until the
 * process ends.
 * Threads: any; gs_attach_join() one at a time.
 * Limits: one share per process; without a region the guard does nothing.
 */
#ifndef GS_ATTACH_H
#define GS_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "share/region.h"

/* Whether GPUSHARE_REGION names a region that could be mapped. */
bool gs_active(void);

/* That region, or NULL. */
struct gs_region *gs_shared_region(void);

/* The slot of this process; NULL before its first charge. */
struct gs_region_slot *gs_shared_slot(void);

/* Takes a slot unless it has one; false when all are in use. */
bool gs_attach_join(void);

/* The number of the slot; -1: none yet. */
int gs_attach_slot(void);

/* Empties the slots of dead processes. */
void gs_attach_sweep(void);

/* The region's GPU with this UUID, or -1. */
int gs_gpu_by_uuid(const unsigned char uuid[16]);
int gs_gpu_by_name(const char *uuid);

/* What a context costs on this GPU. */
uint64_t gs_context_bytes(int gpu);

/* Count for the daemon: a use of a GPU that the share does not have; an unknown entry point. */
void gs_count_unlisted(void);
void gs_count_unhooked(const char *symbol);

/* In the child of a fork: the slot is the parent's. */
void gs_attach_forget(void);

/* Defined in init.c: connects the rooms. Called once, before gs_active() is first true. */
void gs_region_opened(const struct gs_region *region);

#endif
