/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a share's work ran on after the end of its turn.
 *
 * A piece of work that ended at `end` ran on if its turn was over by then and no new one had begun.
 * Of several that ran on after the same turn, only what the later ones add is counted.
 *
 * Owner: completions.c. Pure: no clock, no page, no driver. Threads: any; each state belongs to one
 * at a time.
 * Limits: times are ns of one clock; 0 for `closed_at` means that no turn has ended.
 */
#ifndef GS_OVERRUN_STEP_H
#define GS_OVERRUN_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* Of the newest closed turn: how much of its overrun is counted. */
struct gs_overrun {
    uint64_t closed_at, counted;
};

/* The end of one piece of work, and when the share's turn last ended and last began. */
struct gs_ended_work {
    uint64_t end, closed_at, opened_at;
};

/* Updates the state; ns to be added to the share's overrun. */
static inline uint64_t gs_overrun_step(struct gs_overrun *overrun, const struct gs_ended_work *work)
{
    uint64_t before = work->closed_at == overrun->closed_at ? overrun->counted : 0;
    bool over = work->closed_at && work->end > work->closed_at
                && (work->opened_at < work->closed_at || work->end < work->opened_at);
    uint64_t ns = over ? work->end - work->closed_at : 0;
    *overrun = (struct gs_overrun){work->closed_at, ns > before ? ns : before};
    return ns > before ? ns - before : 0;
}

#endif
