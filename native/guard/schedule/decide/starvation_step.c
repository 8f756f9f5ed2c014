/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/starvation_step.h"

#include "share/gpu_page.h"

#define MS 1000000ull
#define LOOK_NS (2 * MS)
#define SELDOM_NS (50 * MS)
#define SILENT_NS (50 * MS)
#define WINDOW_NS (100 * MS)

bool gs_bit_owner_is_silent(const struct gs_bit_owner *owner, uint64_t now)
{
    return !owner->known || (now > owner->beat_ns && now - owner->beat_ns > SILENT_NS);
}

bool gs_bit_owner_holds(const struct gs_bit_owner *owner, uint64_t now)
{
    return owner->known && owner->until_ns > now && !gs_bit_owner_is_silent(owner, now);
}

/* With time-slicing the share first waits for its timeslice, so that time is added. */
uint64_t gs_starvation_run_ns(uint32_t minimum, uint64_t timeslice_of_high_ns)
{
    uint64_t part = WINDOW_NS * minimum / GS_FULL, open = part + timeslice_of_high_ns;
    if (part == 0)
        return 0;
    return open < WINDOW_NS / 2 ? open : WINDOW_NS / 2;
}

/* Whether the gate was closed throughout the window before the one that begins now. */
static bool begins_window(struct gs_starvation_state *state, uint64_t window)
{
    if (state->window == window)
        return false;
    bool starved = !state->seen_open && state->window + 1 == window;
    state->window = window;
    state->seen_open = false;
    return starved;
}

/*
 * A fence may be in a stream long after the launch behind it, and a gate that closes meanwhile does
 * not wake this thread. So a process that has put fences goes on looking, less often.
 */
static uint64_t next_look(const struct gs_starvation_view *view, bool active, uint64_t now)
{
    if (view->closed || active)
        return now + LOOK_NS;
    return view->fences ? now + SELDOM_NS : UINT64_MAX;
}

struct gs_starvation_decision gs_starvation_step(const struct gs_starvation_state *before,
                                                 const struct gs_starvation_view *view,
                                                 uint64_t now)
{
    struct gs_starvation_decision decision = {.next = *before};
    bool active = before->fences != view->fences;
    decision.next.fences = view->fences;
    decision.next.seen_open |= !view->closed;
    if (view->draining) { /* a suspension, which frees memory, goes first */
        decision.opens = true;
        decision.look_at = now + LOOK_NS / 4;
        return decision;
    }
    decision.looks = view->closed;
    decision.starved = begins_window(&decision.next, now / WINDOW_NS);
    decision.look_at = next_look(view, active, now);
    return decision;
}
