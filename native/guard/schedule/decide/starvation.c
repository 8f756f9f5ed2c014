/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/starvation.h"

#include <time.h>

#include "base/clock.h"
#include "schedule/timing/timeslice.h"
#include "share/region.h"

#define MS 1000000ull
#define LOOK_NS (2 * MS)
#define SILENT_NS (50 * MS)  /* a timer thread that lives gives a sign every millisecond while its bit is set */
#define WINDOW_NS (100 * MS)

/* By this process' timer thread: whether its gate was open in the window, and what it had queued at the last look. */
struct watch {
    uint64_t window;
    bool seen_open;
    uint64_t fences;
};

static struct watch watches[GS_GPUS];

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

static bool silent(const struct gs_process_slot *process, uint64_t now)
{
    uint64_t beat = process ? __atomic_load_n(&process->beat_ns, __ATOMIC_RELAXED) : 0;
    return !process || (now > beat && now - beat > SILENT_NS);
}

static bool holds(const struct gs_process_slot *process, uint64_t now)
{
    return process && __atomic_load_n(&process->until_ns, __ATOMIC_SEQ_CST) > now && !silent(process, now);
}

/* A program that was stopped or killed while its bit was set keeps nobody out. */
static void overrule_silent(struct gs_attachment *attachment, uint32_t gate, uint64_t now)
{
    for (uint32_t left = gate & GS_CLOSED_PREEMPT; left; left &= left - 1) {
        uint32_t bit = left & -left;
        if (!silent(owner(attachment->page, bit), now))
            continue;
        gs_gpu_page_sweep(attachment->page);
        gs_share_slot_open(attachment->share, bit);
        attachment->share->overrides++;
    }
}

/* Gates are not closed again for a process that fell silent, or ended its period, meanwhile: hence the second look. */
static void close_again(struct gs_attachment *attachment, uint32_t bits)
{
    for (; bits; bits &= bits - 1) {
        uint32_t bit = bits & -bits;
        const struct gs_process_slot *process = owner(attachment->page, bit);
        if (!holds(process, gs_now()))
            continue;
        gs_share_slot_close(attachment->share, bit);
        if (!holds(process, gs_now()))
            gs_share_slot_open(attachment->share, bit);
    }
}

static void run_beside(struct gs_attachment *attachment, uint32_t gate)
{
    uint64_t part = WINDOW_NS * attachment->share->policy.minimum / GS_FULL;
    /* Where contexts take turns, it has to wait for one; and a short one would be less than its part. */
    uint64_t open = part + gs_timeslice_of_high(attachment);
    struct timespec nap = {0, (long)(open < WINDOW_NS / 2 ? open : WINDOW_NS / 2)};
    if (part == 0)
        return;
    gs_timeslice_default(attachment);
    gs_share_slot_open(attachment->share, gate & GS_CLOSED_PREEMPT);
    nanosleep(&nap, NULL);
    gs_timeslice_restore(attachment);
    close_again(attachment, gate & GS_CLOSED_PREEMPT);
    attachment->share->starvation_runs++;
}

/* Once in a window, by one of the share's timer threads: a gate that was closed the whole time before opens. */
static void guarantee(struct gs_attachment *attachment, struct watch *watch, uint32_t gate, uint64_t now)
{
    uint64_t window = now / WINDOW_NS;
    uint64_t before = __atomic_load_n(&attachment->share->starvation_window, __ATOMIC_RELAXED);
    if (watch->window == window)
        return;
    bool starved = !watch->seen_open && watch->window + 1 == window;
    watch->window = window;
    watch->seen_open = false;
    if (starved && before < window &&
        __atomic_compare_exchange_n(&attachment->share->starvation_window, &before, window, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
        run_beside(attachment, gate);
}

uint64_t gs_starvation_tick(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    struct watch *watch = &watches[gpu];
    uint32_t gate = __atomic_load_n(&attachment->share->gate, __ATOMIC_SEQ_CST);
    uint64_t fences = GS_READ(attachment->fences);
    bool active = watch->fences != fences;
    watch->fences = fences;
    watch->seen_open |= !(gate & GS_CLOSED_PREEMPT);
    if (GS_READ(attachment->process->draining)) { /* to make room is worth more to others than a moment's quiet */
        gs_share_slot_open(attachment->share, gate & GS_CLOSED_PREEMPT);
        return now + LOOK_NS / 4;
    }
    if (gate & GS_CLOSED_PREEMPT) {
        overrule_silent(attachment, gate, now);
        guarantee(attachment, watch, gate, now);
        return now + LOOK_NS;
    }
    guarantee(attachment, watch, 0, now);
    return active ? now + LOOK_NS : UINT64_MAX;
}
