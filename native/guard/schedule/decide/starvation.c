/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/starvation.h"

#include "base/clock.h"
#include "schedule/decide/starvation_step.h"
#include "schedule/timing/timeslice.h"
#include "share/region.h"

static struct gs_starvation_state states[GS_GPUS];

static const struct gs_process_slot *owner(const struct gs_gpu_page *page, uint32_t bit)
{
    for (uint32_t i = 0; i < page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        const struct gs_process_slot *process = &page->process_slot[i];
        uint32_t own = GS_READ(process->preempt_bit);
        if (GS_READ(process->pid) > 0 && own && 1u << (own - 1) == bit)
            return process;
    }
    return NULL;
}

static struct gs_bit_owner read_owner(const struct gs_process_slot *process)
{
    struct gs_bit_owner bit_owner = {.known = process};
    if (process) {
        bit_owner.until_ns = __atomic_load_n(&process->until_ns, __ATOMIC_SEQ_CST);
        bit_owner.beat_ns = __atomic_load_n(&process->beat_ns, __ATOMIC_RELAXED);
    }
    return bit_owner;
}

static bool holds(const struct gs_process_slot *process)
{
    const struct gs_bit_owner bit_owner = read_owner(process);
    return gs_bit_owner_holds(&bit_owner, gs_now());
}

/* Ignores the bits of a program that was stopped or killed while they were set. */
static void override_silent(struct gs_attachment *attachment, uint32_t gate, uint64_t now)
{
    for (uint32_t left = gate & GS_CLOSED_PREEMPT; left; left &= left - 1) {
        uint32_t bit = left & -left;
        const struct gs_bit_owner bit_owner = read_owner(owner(attachment->page, bit));
        if (!gs_bit_owner_is_silent(&bit_owner, now))
            continue;
        gs_gpu_page_sweep(attachment->page, attachment->process->life);
        gs_share_slot_open(attachment->share, bit);
        attachment->share->overrides++;
    }
}

/*
 * Checks again after closing, because the owner may have fallen silent or ended its period in
 * between.
 */
static void close_again(struct gs_attachment *attachment, uint32_t bits)
{
    for (; bits; bits &= bits - 1) {
        uint32_t bit = bits & -bits;
        const struct gs_process_slot *process = owner(attachment->page, bit);
        if (!holds(process))
            continue;
        gs_share_slot_close(attachment->share, bit);
        if (!holds(process))
            gs_share_slot_open(attachment->share, bit);
    }
}

static void run_despite_preemption(struct gs_attachment *attachment, uint32_t gate)
{
    uint64_t open_ns =
        gs_starvation_run_ns(attachment->share->policy.minimum, gs_timeslice_of_high(attachment));
    if (!open_ns)
        return;
    gs_timeslice_default(attachment);
    gs_share_slot_open(attachment->share, gate & GS_CLOSED_PREEMPT);
    gs_nap(open_ns);
    gs_timeslice_restore(attachment);
    close_again(attachment, gate & GS_CLOSED_PREEMPT);
    attachment->share->starvation_runs++;
}

/* Once per window, by one of the timer threads of the share. */
static bool takes_window(struct gs_share_slot *slot, uint64_t window)
{
    uint64_t before = __atomic_load_n(&slot->starvation_window, __ATOMIC_RELAXED);
    return before < window
           && __atomic_compare_exchange_n(&slot->starvation_window, &before, window, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

uint64_t gs_starvation_tick(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    uint32_t gate = __atomic_load_n(&attachment->share->gate, __ATOMIC_SEQ_CST);
    const struct gs_starvation_view view = {gate & GS_CLOSED_PREEMPT,
                                            GS_READ(attachment->process->draining),
                                            GS_READ(attachment->fences)};
    const struct gs_starvation_decision decision = gs_starvation_step(&states[gpu], &view, now);
    states[gpu] = decision.next;
    if (decision.opens)
        gs_share_slot_open(attachment->share, gate & GS_CLOSED_PREEMPT);
    if (decision.looks)
        override_silent(attachment, gate, now);
    if (decision.starved && takes_window(attachment->share, decision.next.window))
        run_despite_preemption(attachment, gate);
    return decision.look_at;
}
