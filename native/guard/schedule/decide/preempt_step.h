/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the busy period of high-priority work is over, and for how long a pause in it is bridged
 * (grace).
 *
 * Bridging a pause costs its length in idle GPU; not bridging it costs the high-priority work the
 * time until the GPU is free of others again. The grace is the one that would have cost least over
 * the newest pauses: worth it for programs that pause shortly and regularly; where pauses come at
 * random, waiting longer makes the next launch no likelier, and the cheapest grace is none.
 *
 * Owner: preempt.c, under the busy period's lock. Pure: no clock, no page, no driver. The handshake
 * between a launch and the end of a period is an order of atomics rather than a decision, so it
 * stays in preempt.c.
 * Threads: any; each value belongs to one at a time.
 * Limits: the newest GS_PAUSES pauses; a grace of at most 300 us unless it is set by hand.
 */
#ifndef GS_PREEMPT_STEP_H
#define GS_PREEMPT_STEP_H

#include "schedule/process/attachment.h"

/* A busy period at one moment. Times in ns. */
struct gs_preempt_view {
    bool begun;                  /* the gates are closed */
    bool in_grace;               /* idle, closed until `grace_until` */
    bool blind;                  /* the GPU cannot be asked: only time tells */
    uint64_t launches, seen;     /* now, and at the poll thread's last look */
    uint64_t begun_at, active_at, grace_until;
};

enum gs_preempt_act {
    GS_PREEMPT_WAIT,  /* nothing to do */
    GS_PREEMPT_NOTE,  /* there are new launches: it is not over */
    GS_PREEMPT_ASK,   /* it is over if the GPU says that all streams are idle */
    GS_PREEMPT_END,   /* it is over */
};

/* A pause of no length is none. */
void gs_pauses_add(struct gs_pauses *pauses, uint64_t ns);

/* ns. `grace_us` as in the policy: 0 learns it, other values are one more than the microseconds. */
uint64_t gs_preempt_grace(const struct gs_pauses *pauses, uint32_t grace_us);

/* The poll thread's look at work that no one waited for. */
enum gs_preempt_act gs_preempt_poll_step(const struct gs_preempt_view *view, uint64_t now);

/* The timer thread's look: END when the grace is over. */
enum gs_preempt_act gs_preempt_timer_step(const struct gs_preempt_view *view, uint64_t now);

/* Until when the timer thread need not look again. */
uint64_t gs_preempt_next_timer(const struct gs_preempt_view *view, uint64_t now);

/*
 * Until when the poll thread need not: between busy periods both nap, so that the next launch need
 * not wake them.
 */
uint64_t gs_preempt_next_poll(const struct gs_preempt_view *view, uint64_t now);

#endif
