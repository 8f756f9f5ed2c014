/* SPDX-License-Identifier: Apache-2.0 */
/* What low share slots can rely on next to high-priority work: that it is alive, and a little of the GPU. */
#ifndef GS_STARVATION_H
#define GS_STARVATION_H

#include "schedule/process/attachment.h"

/* The timer thread's look at its own share slot; until when it need not look again. */
uint64_t gs_starvation_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

#endif
