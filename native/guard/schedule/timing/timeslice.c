/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/timeslice.h"

#include "base/clock.h"
#include "schedule/timing/channel_group.h"

#define US 1000ull
#define MS 1000000ull
#define LOOK_NS (10 * MS)
#define ACTIVE_NS (20 * MS)
#define TURN_US 20000
#define CROWDED_US 1000 /* between several jobs: a change takes 160 µs (H200), which short timeslices would lose */

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
    return GS_READ(slot->timeslice_us) == TURN_US;
}

static bool is_active(const struct gs_process_slot *process, uint64_t now)
{
    return GS_READ(process->pid) > 0 && (GS_READ(process->busy) || GS_READ(process->want_ns) + ACTIVE_NS > now);
}

/* Whether the share slot's programs may run when ours do. */
typedef bool company(const struct gs_share_slot *ours, const struct gs_share_slot *theirs);

static bool beside(const struct gs_share_slot *ours, const struct gs_share_slot *theirs)
{
    (void)ours;
    return theirs->policy.rank != GS_HIGH && !(GS_READ(theirs->gate) & GS_CLOSED_TURN);
}

static bool in_one_turn(const struct gs_share_slot *ours, const struct gs_share_slot *theirs)
{
    return ours == theirs || (!gs_capped(&ours->policy) && !gs_capped(&theirs->policy));
}

static bool has_company(const struct gs_attachment *attachment, company *is_company, uint64_t now)
{
    for (uint32_t i = 0; i < attachment->page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        const struct gs_process_slot *process = &attachment->page->process_slot[i];
        if (process != attachment->process && process->share_slot < GS_SHARE_SLOTS && is_active(process, now) &&
            is_company(attachment->share, &attachment->page->share_slot[process->share_slot]))
            return true;
    }
    return false;
}

/* Now and then is often enough to look who is there. */
static bool is_time(struct gs_attachment *attachment, uint64_t now)
{
    if (now - GS_READ(attachment->timeslice_at) < LOOK_NS)
        return false;
    GS_WRITE(attachment->timeslice_at, now);
    return true;
}

/* Whether all others are jobs: programs that do not make way, and other urgent ones, must not lose by a long one. */
static bool is_among_jobs(const struct gs_attachment *attachment)
{
    bool jobs = false;
    for (uint32_t i = 0; i < attachment->page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        const struct gs_process_slot *process = &attachment->page->process_slot[i];
        if (process == attachment->process || GS_READ(process->pid) <= 0 || process->share_slot >= GS_SHARE_SLOTS)
            continue;
        if (attachment->page->share_slot[process->share_slot].policy.rank != GS_LOW)
            return false;
        jobs = true;
    }
    return jobs;
}

void gs_timeslice_high(struct gs_attachment *attachment)
{
    if (is_time(attachment, gs_now()))
        set(attachment, is_among_jobs(attachment) ? attachment->share->policy.timeslice_us : 0);
}

void gs_timeslice_in_turns(struct gs_attachment *attachment)
{
    uint64_t now = gs_now();
    if (!is_time(attachment, now))
        return;
    bool urgent = __atomic_load_n(&attachment->page->preempt_bits, __ATOMIC_RELAXED);
    set(attachment, urgent || has_company(attachment, in_one_turn, now) ? 0 : TURN_US);
}

void gs_timeslice_restore(struct gs_attachment *attachment)
{
    uint32_t us = attachment->share->policy.timeslice_us;
    set(attachment, us && us < CROWDED_US && has_company(attachment, beside, gs_now()) ? CROWDED_US : us);
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
        uint64_t us = slot->policy.share[0] && slot->policy.rank == GS_HIGH ? GS_READ(slot->timeslice_us) : 0;
        longest = us > longest ? us : longest;
    }
    return longest * US;
}
