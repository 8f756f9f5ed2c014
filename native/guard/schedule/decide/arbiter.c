/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arbiter: gives turns on a GPU.
 *
 * Model. Turns begin when a share with a compute limit or guarantee wants the GPU, and end 200 ms
 * after none does. The timer thread of any such process tries to take the lease of the GPU page;
 * the one that has it is the arbiter. In each round it reads the wishes of all processes, lets
 * arbiter_step.c decide, and writes gates and counters. A process that is stopped loses the lease
 * after 40 ms, and another one begins with a new state.
 *
 * Invariants:
 * 1. `turns` of the page is set before the first gate closes and cleared before the gates open, so
 *    programs ask for turns exactly while there are turns.
 * 2. Gates close before others open: two accounts never have a turn at the same time.
 * 3. GS_CLOSED_TURN is written by the holder of the lease only.
 * 4. Past overruns are not charged to a new arbiter's accounts.
 *
 * Threads: the timer thread. It reads what untrusted processes write; sizes and indices are
 * checked.
 */
#include "schedule/decide/arbiter.h"

#include <string.h>

#include "base/clock.h"
#include "schedule/decide/arbiter_step.h"
#include "schedule/timing/timeslice.h"
#include "share/lease.h"
#include "share/region.h"

/* What this process knows of one GPU while it is its arbiter. */
struct role {
    struct gs_arbiter_state state;
    bool holds_lease;
    uint64_t sweep_at;
};

static const uint64_t SWEEP_NS = 1000000000ull;

static struct role roles[GS_GPUS];

static bool process_wants(const struct gs_process_slot *process, uint64_t now)
{
    return GS_READ(process->pid) > 0
           && gs_process_wants(GS_READ(process->busy), GS_READ(process->draining),
                               GS_READ(process->want_ns), now);
}

static struct gs_slot_wish read_slot(const struct gs_share_slot *slot)
{
    return (struct gs_slot_wish){
        .limit = slot->policy.limit,
        .request = slot->policy.request,
        .takes_turns = slot->policy.share[0] && gs_takes_turns(&slot->policy),
        .capped = gs_capped(&slot->policy),
        .open = __atomic_load_n(&slot->gate, __ATOMIC_RELAXED) == 0,
        .runs_alone = gs_timeslice_is_of_turns(slot),
        .overrun_ns = GS_READ(slot->overrun_ns),
    };
}

static void read_wishes(struct gs_arbiter_wishes *wishes, const struct gs_gpu_page *page,
                        uint64_t now)
{
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        wishes->slot[i] = read_slot(&page->share_slot[i]);
    for (uint32_t i = 0; i < page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        const struct gs_process_slot *process = &page->process_slot[i];
        uint32_t number = process->share_slot;
        if (number >= GS_SHARE_SLOTS || !process_wants(process, now))
            continue;
        wishes->slot[number].wants = true;
        wishes->slot[number].drains |= GS_READ(process->draining) != 0;
    }
}

static void set_turn(struct gs_share_slot *slot, bool open, uint64_t now)
{
    bool is_open = !(__atomic_load_n(&slot->gate, __ATOMIC_RELAXED) & GS_CLOSED_TURN);
    if (open == is_open)
        return;
    if (open) {
        slot->turns++;
        __atomic_store_n(&slot->opened_at, now, __ATOMIC_SEQ_CST);
        gs_share_slot_open(slot, GS_CLOSED_TURN);
    } else {
        gs_share_slot_close(slot, GS_CLOSED_TURN);
        __atomic_store_n(&slot->closed_at, now, __ATOMIC_SEQ_CST);
    }
}

static void write_counters(struct gs_gpu_page *page, const struct gs_arbiter_decision *decision)
{
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        if (!decision->slot[i].wanted_ns)
            continue;
        page->share_slot[i].wanted_ns += decision->slot[i].wanted_ns;
        page->share_slot[i].open_ns += decision->slot[i].open_ns;
    }
}

/* Invariant 2. */
static void write_gates(struct gs_gpu_page *page, const struct gs_arbiter_decision *decision,
                        uint64_t now)
{
    for (int open = 0; open < 2; open++)
        for (int i = 0; i < GS_SHARE_SLOTS; i++)
            if (decision->slot[i].open == open)
                set_turn(&page->share_slot[i], open, now);
}

/* Invariant 1: launches from here on ask for a turn first. */
static void announce_turns(struct gs_gpu_page *page)
{
    __atomic_store_n(&page->turns, 1, __ATOMIC_SEQ_CST);
}

/* Invariant 1; the lease is dropped last, so that the next arbiter begins after it. */
static void resign(struct role *role, struct gs_attachment *attachment,
                   const struct gs_arbiter_decision *decision)
{
    __atomic_store_n(&attachment->page->turns, 0, __ATOMIC_SEQ_CST);
    write_gates(attachment->page, decision, gs_now());
    role->holds_lease = false;
    gs_lease_drop(attachment->page, attachment->slot_number);
}

/* A program that was killed while it waited for its turn would want one for good. */
static void sweep_now_and_then(struct role *role, struct gs_attachment *attachment, uint64_t now)
{
    if (now < role->sweep_at)
        return;
    gs_gpu_page_sweep(attachment->page, GS_READ(attachment->process->life));
    role->sweep_at = now + SWEEP_NS;
}

static uint64_t arbitrate(struct role *role, struct gs_attachment *attachment, uint64_t now)
{
    struct gs_gpu_page *page = attachment->page;
    struct gs_arbiter_wishes wishes;
    if (!role->holds_lease)
        announce_turns(page);
    sweep_now_and_then(role, attachment, now);
    read_wishes(&wishes, page, now);
    if (!role->holds_lease)
        role->state = gs_arbiter_begin(&wishes, now);
    role->holds_lease = true;
    page->passes++;
    const struct gs_arbiter_decision decision = gs_arbiter_step(&role->state, &wishes, now);
    role->state = decision.next;
    write_counters(page, &decision);
    if (decision.ends_turns)
        resign(role, attachment, &decision);
    else
        write_gates(page, &decision, now);
    return decision.look_at;
}

static bool wants_turns(const struct gs_attachment *attachment, uint64_t now)
{
    return __atomic_load_n(&attachment->page->turns, __ATOMIC_RELAXED)
           || (gs_capped(&attachment->share->policy) && gs_takes_turns(&attachment->share->policy)
               && process_wants(attachment->process, now));
}

uint64_t gs_arbiter_tick(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    struct role *role = &roles[gpu];
    if (!role->holds_lease && !wants_turns(attachment, now))
        return UINT64_MAX;
    if (!gs_lease_take(attachment->page, attachment->slot_number, now)) {
        role->holds_lease = false;
        return now + GS_LEASE_NS / 2;
    }
    return arbitrate(role, attachment, now);
}

void gs_arbiter_forget(void)
{
    memset(roles, 0, sizeof roles);
}
