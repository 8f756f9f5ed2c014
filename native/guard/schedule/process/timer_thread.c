/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/process/timer_thread.h"

#include "base/worker.h"

static struct gs_worker thread = GS_WORKER("gpushare-timer", NULL);

void gs_timer_thread_serves(uint64_t (*round)(uint64_t now))
{
    thread.round = round;
}

void gs_timer_thread_wake(void)
{
    gs_worker_wake(&thread);
}

void gs_timer_thread_hurry(void)
{
    gs_worker_hurry(&thread);
}

void gs_timer_thread_forget(void)
{
    gs_worker_forget(&thread);
}
