/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the thread that asks the driver what is done, in a process that takes turns or has
 * high-priority work.
 *
 * Owner: the process; one thread, which starts when it is first woken. Threads: any may wake it.
 * Limits: not in a forked child until it is woken there.
 */
#ifndef GS_POLL_THREAD_H
#define GS_POLL_THREAD_H

#include <stdint.h>

/*
 * What it does: looks, and says until when it need not look again. Before it is woken for the first
 * time.
 */
void gs_poll_thread_serves(uint64_t (*look)(uint64_t now));

void gs_poll_thread_wake(void);

void gs_poll_thread_forget(void);

#endif
