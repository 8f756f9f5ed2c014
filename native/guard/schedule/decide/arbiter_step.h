/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arbiter decides: which share has the GPU, for how long, and what it pays for it.
 *
 * Two amounts per account decide. The budget grows at the limit's rate and shrinks while the turn
 * lasts and by work that ran on after it: without budget there is no turn. The virtual time grows
 * by the time used divided by what the share is entitled to: the lowest is next. So a limit holds
 * over any length of time, a guarantee is there as soon as it is wanted, and unused time goes to
 * the shares that want it.
 *
 * Owner: the process that holds the lease of the GPU page; arbiter.c reads the page, calls the step
 * and writes. Pure: no clock, no page, no driver, no lock. The result depends on the arguments
 * only.
 * Threads: any; each state belongs to one at a time.
 * Limits: GS_SHARE_SLOTS shares. Times are ns of one clock that does not run backwards, compute is
 * in basis points.
 */
#ifndef GS_ARBITER_STEP_H
#define GS_ARBITER_STEP_H

#include "share/gpu_page.h"

enum { GS_OTHERS = GS_SHARE_SLOTS, GS_ACCOUNTS, GS_NO_TURN = -1 };

/*
 * Of a share slot with a limit or guarantee, or (GS_OTHERS) of all others together. Amounts are ns
 * of GPU.
 */
struct gs_account {
    int64_t budget;
    uint64_t virtual;
    uint64_t limited_at;    /* since when the limit is what it is */
    uint32_t limit, weight; /* basis points */
    bool wants, wanted;     /* now, and at the step before */
};

/* What one arbiter knows of one GPU between two steps. */
struct gs_arbiter_state {
    struct gs_account account[GS_ACCOUNTS];
    bool slot_wants[GS_SHARE_SLOTS];
    uint64_t overrun_seen[GS_SHARE_SLOTS];
    int turn;                     /* the account whose turn it is */
    bool used; /* a gate of it was open: high-priority work did not keep it out */
    uint64_t used_ns, given_back; /* in this turn */
    uint64_t turn_end, at, needed_at;
};

/* What the GPU page has of one share slot. */
struct gs_slot_wish {
    uint32_t limit, request;
    bool takes_turns; /* a share has the slot, and takes turns */
    bool capped; /* it has a limit or a guarantee, so an account of its own */
    bool wants; /* a process of it uses the GPU or waits for it */
    bool drains; /* a process of it is about to be suspended */
    bool open; /* its gate is open */
    bool runs_alone; /* its timeslices are as long as a turn, so its overruns have the GPU alone */
    uint64_t overrun_ns;
};

struct gs_arbiter_wishes {
    struct gs_slot_wish slot[GS_SHARE_SLOTS];
};

struct gs_slot_decision {
    bool open; /* as far as turns go */
    uint64_t wanted_ns, open_ns; /* to be added to the slot's counters */
};

struct gs_arbiter_decision {
    struct gs_arbiter_state next;
    struct gs_slot_decision slot[GS_SHARE_SLOTS];
    bool ends_turns; /* not needed for a while: every gate opens, the lease is given up */
    uint64_t look_at;
};

/* The state in which a process becomes the arbiter: past overruns are not charged. */
struct gs_arbiter_state gs_arbiter_begin(const struct gs_arbiter_wishes *wishes, uint64_t now);

struct gs_arbiter_decision gs_arbiter_step(const struct gs_arbiter_state *before,
                                           const struct gs_arbiter_wishes *wishes, uint64_t now);

/* Whether a process wants the GPU: it is busy with it, drains, or asked for it a moment ago. */
bool gs_process_wants(bool busy, bool draining, uint64_t want_ns, uint64_t now);

#endif
