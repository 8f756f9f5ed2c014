/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which timeslice a program has, by its rank and by the programs that have work at the same time.
 *
 * Owner: timeslice.c. Pure: no clock, no page, no driver; small enough to be inline.
 * Threads: any. Limits: microseconds; 0 means the driver's own timeslice.
 */
#ifndef GS_TIMESLICE_STEP_H
#define GS_TIMESLICE_STEP_H

#include "schedule/process/attachment.h"

#define GS_TURN_US 20000u
#define GS_CROWDED_US \
    1000u /* several jobs: a change takes 160 us (H200), which short timeslices would lose */
#define GS_ACTIVE_NS 20000000ull

/* Another process on the GPU, seen from ours. */
struct gs_companion {
    bool lives, busy;
    uint64_t want_ns; /* its newest wish */
    enum gs_rank rank;
    bool capped;      /* its share has a limit or a guarantee */
    bool out_of_turn; /* its share's gate is closed because it is not its turn */
    bool same_share;
};

/* Whether it has work for the GPU, or had a moment ago. */
static inline bool gs_companion_is_active(const struct gs_companion *other, uint64_t now)
{
    return other->lives && (other->busy || other->want_ns + GS_ACTIVE_NS > now);
}

/* Whether it runs when a program of low rank does. */
static inline bool gs_companion_runs_beside(const struct gs_companion *other, uint64_t now)
{
    return gs_companion_is_active(other, now) && other->rank != GS_HIGH && !other->out_of_turn;
}

/* Whether it shares our turn. `capped`: whether our own share has a limit or a guarantee. */
static inline bool gs_companion_shares_turn(const struct gs_companion *other, bool capped,
                                            uint64_t now)
{
    return gs_companion_is_active(other, now) && (other->same_share || (!capped && !other->capped));
}

/* Low rank next to high-priority work. */
static inline uint32_t gs_timeslice_low_us(uint32_t wish_us, bool crowded)
{
    return wish_us && wish_us < GS_CROWDED_US && crowded ? GS_CROWDED_US : wish_us;
}

/*
 * High rank: programs that do not yield, and other high-priority ones, must not lose by a long one.
 */
static inline uint32_t gs_timeslice_high_us(uint32_t wish_us, bool jobs, bool others)
{
    return jobs && !others ? wish_us : 0;
}

/* In turns: work that runs over the end of one is finished before others begin. */
static inline uint32_t gs_timeslice_turn_us(bool preempted, bool shared)
{
    return preempted || shared ? 0 : GS_TURN_US;
}

#endif
