/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that keeps times in a process that takes turns or has high-priority work: turns,
 * grace, the protection from starvation. It never calls the driver: a launch that waits for room in
 * a full queue holds the driver's locks, and only this thread can open the gate that the queue
 * waits for.
 *
 * Owner: the process; one thread, which starts when it is first woken. Threads: any may wake it.
 * Limits: not in a forked child until it is woken there.
 */
#ifndef GS_TIMER_THREAD_H
#define GS_TIMER_THREAD_H

#include <stdint.h>

/* Sets its round, which returns when it has to run next. Before the first wake-up. */
void gs_timer_thread_serves(uint64_t (*round)(uint64_t now));

void gs_timer_thread_wake(void);

/* Runs its round at once: a time that it keeps has changed. */
void gs_timer_thread_hurry(void);

/* In the child of a fork. */
void gs_timer_thread_forget(void);

#endif
