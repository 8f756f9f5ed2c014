/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that asks the driver what is done, in a process that takes turns or has high-priority
 * work.
 *
 * Owner: the process; one thread, which starts when it is first woken. Threads: any may wake it.
 * Limits: not in a forked child until it is woken there.
 */
#ifndef GS_POLL_THREAD_H
#define GS_POLL_THREAD_H

#include <stdint.h>

/* Sets its round, which returns when it has to run next. Before the first wake-up. */
void gs_poll_thread_serves(uint64_t (*round)(uint64_t now));

void gs_poll_thread_wake(void);

/* In the child of a fork. */
void gs_poll_thread_forget(void);

#endif
