/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/process/poll_thread.h"

#include "base/worker.h"

static struct gs_clerk thread = GS_CLERK("gpushare-watch", NULL);

void gs_poll_thread_serves(uint64_t (*look)(uint64_t now))
{
    thread.tend = look;
}

void gs_poll_thread_wake(void)
{
    gs_clerk_wake(&thread);
}

void gs_poll_thread_forget(void)
{
    gs_clerk_forget(&thread);
}
