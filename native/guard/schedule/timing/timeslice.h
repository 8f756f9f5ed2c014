/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeslices by rank, where contexts take turns on the GPU. Next to high-priority work a job's
 * timeslice is short: that is how long the high-priority work waits for a kernel that cannot be cut
 * otherwise. Its own timeslice is long, so that it is done before the rest of that kernel gets a
 * turn; the GPU stays with it between launches, too. timeslice_step.h has the rules; this looks at
 * who is on the page, and asks the driver.
 *
 * Owner: each process, for its own contexts on one GPU.
 * Threads: any thread that launches, and the timer thread. Two that look at the same time set the
 * same.
 * Limits: looks at the page every 10 ms at most.
 */
#ifndef GS_TIMESLICE_H
#define GS_TIMESLICE_H

#include "schedule/process/attachment.h"

/* High rank, at the begin of a busy period: long if all others are of low rank. */
void gs_timeslice_high(struct gs_attachment *attachment);

/* Low rank, with every fence next to high-priority work. */
void gs_timeslice_low(struct gs_attachment *attachment);

/* The default of the driver. One load while that is set. */
void gs_timeslice_default(struct gs_attachment *attachment);

/*
 * In turns: what runs over the end of one is finished before others begin. Not next to
 * high-priority work, which waits for no turns, nor for programs that share their turn.
 */
void gs_timeslice_in_turns(struct gs_attachment *attachment);

/* Whether a share has such timeslices: then its work does not run together with that of others. */
bool gs_timeslice_is_of_turns(const struct gs_share_slot *slot);

/* Low rank, after gs_timeslice_default(). */
void gs_timeslice_restore(struct gs_attachment *attachment);

/* The longest timeslice of high-priority work, in ns; 0 when the default of the driver holds. */
uint64_t gs_timeslice_of_high(const struct gs_attachment *attachment);

#endif
