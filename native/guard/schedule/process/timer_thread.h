/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two threads of a process that takes turns or is urgent.
 *
 * The keeper keeps times: turns, grace, the floor. It never calls the driver: a launch that waits for room in a full
 * queue holds the driver's locks, and only the keeper can open the word that the queue waits for.
 * The watcher asks the driver what is done.
 */
#ifndef GS_TIMER_THREAD_H
#define GS_TIMER_THREAD_H

void gs_keeper_wake(void);

/* A time that it keeps has changed. */
void gs_keeper_hurry(void);

void gs_watcher_wake(void);

void gs_keeper_forget(void);

#endif
