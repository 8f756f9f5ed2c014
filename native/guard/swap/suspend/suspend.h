/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspending and resuming this process, as the region orders. The model is in suspend.c.
 * Owner: writes phase, failure and times into the slot. Threads: the suspend thread only, except
 * gs_suspend_announces(). Limits: memory only; contexts stay on the GPU.
 */
#ifndef GS_SUSPEND_H
#define GS_SUSPEND_H

#include "share/region.h"

/*
 * Set at the start: called with true before quiescing, so that queued work may run to its end; then
 * with false.
 */
void gs_suspend_announces(void (*to)(bool drains));

/* Carries out the order in `suspend`, unless that was done or refused already. */
void gs_suspend_obey(struct gs_region *region, struct gs_region_slot *slot);

/* In the child of a fork. */
void gs_suspend_forget(void);

#endif
