/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prestaging: host memory that is ready before a suspension needs it; and giving up caches under
 * pressure. It is what the suspend thread does while the program runs.
 * Owner: the suspend thread. Threads: the suspend thread; gs_prestage_lost() from any.
 * Limits: one unit per 10 ms, and at most a fifth of the time is spent on registering, because that
 * blocks launches.
 */
#ifndef GS_PRESTAGE_H
#define GS_PRESTAGE_H

#include "share/region.h"

/* Every 10 ms: takes or frees one unit of host memory, and frees caches under pressure. */
void gs_prestage_tick(struct gs_region *region, struct gs_region_slot *slot);

/* Publishes in the slot how much host memory the process has. */
void gs_prestage_publish(struct gs_region_slot *slot);

/* The last context of a GPU has ended. */
void gs_prestage_lost(void);

/* In the child of a fork. */
void gs_prestage_forget(void);

#endif
