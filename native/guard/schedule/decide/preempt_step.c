/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/preempt_step.h"

#define US 1000ull
#define LOOK_NS (1000 * US)
#define DROWSY_NS (50000 * US)
#define BLIND_NS \
    (20000 * US) /* nothing was launched for so long and the GPU cannot be asked: it is done */
#define SWITCH_NS (150 * US)  /* what it costs high-priority work to find others on the GPU */
#define GRACE_LIMIT_NS (300 * US)
#define UNKNOWN_GRACE_NS (100 * US)
enum { FEW_PAUSES = 8 };

void gs_pauses_add(struct gs_pauses *pauses, uint64_t ns)
{
    if (ns)
        pauses->ns[pauses->count++ % GS_PAUSES] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/*
 * What such pauses cost in all with this grace: time in which no one has the GPU, and disturbances.
 */
static uint64_t cost(const struct gs_pauses *pauses, uint32_t count, uint64_t grace)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += pauses->ns[i] <= grace ? pauses->ns[i] : grace + SWITCH_NS;
    return sum;
}

static uint64_t learned_grace(const struct gs_pauses *pauses)
{
    static const uint64_t choices[] = {0, 20 * US, 50 * US, 100 * US, 200 * US, GRACE_LIMIT_NS};
    uint32_t count = pauses->count < GS_PAUSES ? pauses->count : GS_PAUSES;
    uint64_t best = UNKNOWN_GRACE_NS, least = UINT64_MAX;
    for (unsigned i = 0; count >= FEW_PAUSES && i < sizeof choices / sizeof *choices; i++) {
        uint64_t price = cost(pauses, count, choices[i]);
        if (price < least) {
            least = price;
            best = choices[i];
        }
    }
    return best;
}

uint64_t gs_preempt_grace(const struct gs_pauses *pauses, uint32_t grace_us)
{
    return grace_us == 0 ? learned_grace(pauses) : (grace_us - 1) * US;
}

enum gs_preempt_act gs_preempt_poll_step(const struct gs_preempt_view *view, uint64_t now)
{
    if (!view->begun || view->in_grace)
        return GS_PREEMPT_WAIT;
    if (view->launches != view->seen)
        return GS_PREEMPT_NOTE;
    if (!view->blind)
        return GS_PREEMPT_ASK;
    return now - view->active_at > BLIND_NS ? GS_PREEMPT_END : GS_PREEMPT_WAIT;
}

enum gs_preempt_act gs_preempt_timer_step(const struct gs_preempt_view *view, uint64_t now)
{
    return view->begun && view->in_grace && now >= view->grace_until ? GS_PREEMPT_END
                                                                     : GS_PREEMPT_WAIT;
}

uint64_t gs_preempt_next_poll(const struct gs_preempt_view *view, uint64_t now)
{
    return view->begun || now - view->begun_at < DROWSY_NS ? now + LOOK_NS : UINT64_MAX;
}

uint64_t gs_preempt_next_timer(const struct gs_preempt_view *view, uint64_t now)
{
    return view->begun && view->in_grace ? view->grace_until : gs_preempt_next_poll(view, now);
}
