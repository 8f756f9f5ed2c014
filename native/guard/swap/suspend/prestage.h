/* SPDX-License-Identifier: Apache-2.0 */
/* What the suspend thread does while the program runs. */
#ifndef GS_PRESTAGE_H
#define GS_PRESTAGE_H

#include "share/region.h"

/* Every 10 ms: has host memory ready, or gives it back, and drops caches that others need. */
void gs_prestage_tick(struct gs_region *region, struct gs_region_slot *slot);

/* Publishes how much host memory the process has. */
void gs_prestage_tell(struct gs_region_slot *slot);

/* A GPU's last context is gone. */
void gs_prestage_lost(void);

void gs_prestage_forget(void);

#endif
