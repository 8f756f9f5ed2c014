/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/process/timer_thread.h"

#include "base/worker.h"
#include "schedule/decide/arbiter.h"
#include "schedule/decide/preempt.h"
#include "schedule/decide/starvation.h"
#include "schedule/process/attachment.h"
#include "schedule/timing/completions.h"
#include "share/region.h"

typedef uint64_t look(struct gs_ride *ride, int gpu, uint64_t now);

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t each(look *look, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_ride *ride = gs_ride_number(gpu);
        if (ride)
            next = earlier(next, look(ride, gpu, now));
    }
    return next;
}

static uint64_t keep(struct gs_ride *ride, int gpu, uint64_t now)
{
    uint64_t next = earlier(gs_urgent_keep(ride, now), gs_floor_tick(ride, gpu, now));
    return earlier(next, gs_conductor_tick(ride, gpu, now));
}

static uint64_t watch(struct gs_ride *ride, int gpu, uint64_t now)
{
    /* Questions about the legacy stream are about the current context's. */
    cuda()->cuCtxSetCurrent(ride->context);
    return earlier(gs_urgent_watch(ride, now), gs_marks_tick(ride, gpu, now));
}

static uint64_t keep_all(uint64_t now)
{
    return each(keep, now);
}

static uint64_t watch_all(uint64_t now)
{
    return each(watch, now);
}

static struct gs_clerk keeper = GS_CLERK("gpushare-keeper", keep_all);
static struct gs_clerk watcher = GS_CLERK("gpushare-watch", watch_all);

void gs_keeper_wake(void)
{
    gs_clerk_wake(&keeper);
}

void gs_keeper_hurry(void)
{
    gs_clerk_hurry(&keeper);
}

void gs_watcher_wake(void)
{
    gs_clerk_wake(&watcher);
}

void gs_keeper_forget(void)
{
    gs_clerk_forget(&keeper);
    gs_clerk_forget(&watcher);
}
