/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What low share slots can rely on next to high-priority work: that it is alive, and a little of
 * the GPU. starvation_step.h has the decisions; this reads the page and opens and closes the gate.
 *
 * Owner: each process, for its own share slot. Among the processes of a share the page's
 * `starvation_window` decides which one gives a run.
 * Threads: the timer thread, which a run keeps busy for up to 50 ms.
 * Limits: one state per GPU of the region.
 */
#ifndef GS_STARVATION_H
#define GS_STARVATION_H

#include "schedule/process/attachment.h"

/* A round of the timer thread for its own share slot; returns when it has to run next. */
uint64_t gs_starvation_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

#endif
