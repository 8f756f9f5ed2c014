/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/timeslice.h"

#include "base/clock.h"
#include "schedule/timing/channel_group.h"
#include "schedule/timing/timeslice_step.h"

#define US 1000ull
#define LOOK_NS 10000000ull

static void set(struct gs_attachment *attachment, uint32_t us)
{
    gs_channel_groups_set_timeslice(attachment->gpu, us);
    uint32_t now = gs_channel_groups_timeslice(attachment->gpu);
    if (GS_READ(attachment->timeslice_us) == now)
        return;
    GS_WRITE(attachment->timeslice_us, now);
    GS_WRITE(attachment->share->timeslice_us, now);
}

void gs_timeslice_default(struct gs_attachment *attachment)
{
    if (__builtin_expect(GS_READ(attachment->timeslice_us) != 0, 0))
        set(attachment, 0);
}

bool gs_timeslice_is_of_turns(const struct gs_share_slot *slot)
{
    return GS_READ(slot->timeslice_us) == GS_TURN_US;
}

static struct gs_companion companion(const struct gs_attachment *attachment,
                                     const struct gs_process_slot *process)
{
    const struct gs_share_slot *theirs = &attachment->page->share_slot[process->share_slot];
    return (struct gs_companion){
        .lives = GS_READ(process->pid) > 0,
        .busy = GS_READ(process->busy) != 0,
        .want_ns = GS_READ(process->want_ns),
        .rank = theirs->policy.rank,
        .capped = gs_capped(&theirs->policy),
        .out_of_turn = (GS_READ(theirs->gate) & GS_CLOSED_TURN) != 0,
        .same_share = theirs == attachment->share,
    };
}

/* The next process from `*number` on, except this one. */
static bool next_companion(const struct gs_attachment *attachment, uint32_t *number,
                           struct gs_companion *other)
{
    const struct gs_gpu_page *page = attachment->page;
    while (*number < page->process_slots_high && *number < GS_PROCESS_SLOTS) {
        const struct gs_process_slot *process = &page->process_slot[(*number)++];
        if (process == attachment->process || process->share_slot >= GS_SHARE_SLOTS)
            continue;
        *other = companion(attachment, process);
        return true;
    }
    return false;
}

static bool is_crowded(const struct gs_attachment *attachment, uint64_t now)
{
    struct gs_companion other;
    for (uint32_t i = 0; next_companion(attachment, &i, &other);)
        if (gs_companion_runs_beside(&other, now))
            return true;
    return false;
}

static bool shares_turn(const struct gs_attachment *attachment, uint64_t now)
{
    struct gs_companion other;
    bool capped = gs_capped(&attachment->share->policy);
    for (uint32_t i = 0; next_companion(attachment, &i, &other);)
        if (gs_companion_shares_turn(&other, capped, now))
            return true;
    return false;
}

/* At most every LOOK_NS. */
static bool is_time(struct gs_attachment *attachment, uint64_t now)
{
    if (now - GS_READ(attachment->timeslice_at) < LOOK_NS)
        return false;
    GS_WRITE(attachment->timeslice_at, now);
    return true;
}

static uint32_t of_high(const struct gs_attachment *attachment)
{
    struct gs_companion other;
    bool jobs = false, others = false;
    for (uint32_t i = 0; !others && next_companion(attachment, &i, &other);) {
        jobs |= other.lives && other.rank == GS_LOW;
        others |= other.lives && other.rank != GS_LOW;
    }
    return gs_timeslice_high_us(attachment->share->policy.timeslice_us, jobs, others);
}

void gs_timeslice_high(struct gs_attachment *attachment)
{
    if (is_time(attachment, gs_now()))
        set(attachment, of_high(attachment));
}

void gs_timeslice_in_turns(struct gs_attachment *attachment)
{
    uint64_t now = gs_now();
    if (!is_time(attachment, now))
        return;
    bool preempted = __atomic_load_n(&attachment->page->preempt_bits, __ATOMIC_RELAXED);
    set(attachment, gs_timeslice_turn_us(preempted, preempted || shares_turn(attachment, now)));
}

void gs_timeslice_restore(struct gs_attachment *attachment)
{
    uint32_t us = attachment->share->policy.timeslice_us;
    set(attachment, gs_timeslice_low_us(us, us && is_crowded(attachment, gs_now())));
}

void gs_timeslice_low(struct gs_attachment *attachment)
{
    uint64_t now = gs_now();
    GS_WRITE(attachment->process->want_ns, now);
    if (is_time(attachment, now))
        gs_timeslice_restore(attachment);
}

uint64_t gs_timeslice_of_high(const struct gs_attachment *attachment)
{
    uint64_t longest = 0;
    for (int i = 0; i < GS_SHARE_SLOTS && GS_READ(attachment->timeslice_us); i++) {
        const struct gs_share_slot *slot = &attachment->page->share_slot[i];
        uint64_t us =
            slot->policy.share[0] && slot->policy.rank == GS_HIGH ? GS_READ(slot->timeslice_us) : 0;
        longest = us > longest ? us : longest;
    }
    return longest * US;
}
