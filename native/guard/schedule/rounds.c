/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/rounds.h"

#include "schedule/decide/arbiter.h"
#include "schedule/decide/preempt.h"
#include "schedule/decide/starvation.h"
#include "schedule/process/attachment.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/completions.h"
#include "share/region.h"

typedef uint64_t look(struct gs_attachment *attachment, int gpu, uint64_t now);

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t each(look *look, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_attachment *attachment = gs_attachment_of(gpu);
        if (attachment)
            next = earlier(next, look(attachment, gpu, now));
    }
    return next;
}

static uint64_t keep(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    uint64_t next =
        earlier(gs_preempt_timer_tick(attachment, now), gs_starvation_tick(attachment, gpu, now));
    return earlier(next, gs_arbiter_tick(attachment, gpu, now));
}

static uint64_t poll(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    /* Questions about the legacy stream are about the current context's. */
    cuda()->cuCtxSetCurrent(attachment->context);
    return earlier(gs_preempt_poll_tick(attachment, now),
                   gs_completions_tick(attachment, gpu, now));
}

static uint64_t keep_all(uint64_t now)
{
    return each(keep, now);
}

static uint64_t poll_all(uint64_t now)
{
    return each(poll, now);
}

void gs_rounds_start(void)
{
    gs_timer_thread_serves(keep_all);
    gs_poll_thread_serves(poll_all);
}
