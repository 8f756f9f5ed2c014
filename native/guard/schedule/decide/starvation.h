/* SPDX-License-Identifier: Apache-2.0 */
/* What low seats can rely on while urgent work is raised: that it is alive, and a little of the GPU in any case. */
#ifndef GS_STARVATION_H
#define GS_STARVATION_H

#include "schedule/process/attachment.h"

/* The keeper's look at its own seat; until when it need not look again. */
uint64_t gs_floor_tick(struct gs_ride *ride, int gpu, uint64_t now);

#endif
