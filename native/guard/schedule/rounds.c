/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/rounds.h"

#include "driver/capture_state.h"
#include "schedule/decide/arbiter.h"
#include "schedule/decide/preempt.h"
#include "schedule/decide/starvation.h"
#include "schedule/process/attachment.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/completions.h"
#include "share/region.h"

typedef uint64_t tick(struct gs_attachment *attachment, int gpu, uint64_t now);

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t each(tick *run, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_attachment *attachment = gs_attachment_of(gpu);
        if (attachment)
            next = earlier(next, run(attachment, gpu, now));
    }
    return next;
}

static uint64_t timer_round(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    uint64_t next =
        earlier(gs_preempt_timer_tick(attachment, now), gs_starvation_tick(attachment, gpu, now));
    return earlier(next, gs_arbiter_tick(attachment, gpu, now));
}

static uint64_t poll_round(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    /* A query of the legacy stream is about the current context. */
    cuda()->cuCtxSetCurrent(attachment->context);
    return earlier(gs_preempt_poll_tick(attachment, now),
                   gs_completions_tick(attachment, gpu, now));
}

static uint64_t timer_rounds(uint64_t now)
{
    gs_spare_captures();
    return each(timer_round, now);
}

static uint64_t poll_rounds(uint64_t now)
{
    gs_spare_captures();
    return each(poll_round, now);
}

void gs_rounds_start(void)
{
    gs_timer_thread_serves(timer_rounds);
    gs_poll_thread_serves(poll_rounds);
}
