/* SPDX-License-Identifier: Apache-2.0 */
/* Off the GPU and back, as the region wishes. Only the suspend thread calls this. */
#ifndef GS_SUSPEND_H
#define GS_SUSPEND_H

#include "share/region.h"

/* Who is to know that the process is about to be suspended, or is not any more, and lets its queued work end. */
void gs_suspend_announces(void (*to)(bool drains));

/* Does what `suspend` says, if it has not been done or refused yet. */
void gs_suspend_obey(struct gs_region *region, struct gs_region_slot *slot);

void gs_suspend_forget(void);

#endif
