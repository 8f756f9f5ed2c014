/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the guard inside the user's process. Every signal is blocked in them: signals belong
 * to the program, and its handlers must not run on the guard's threads.
 * Owner: none; no state. Threads: any; takes no lock. Limits: none of them survives a fork.
 */
#ifndef GS_THREAD_H
#define GS_THREAD_H

#include <pthread.h>

/* pthread_create() with all signals blocked in the new thread. 0 or an errno. */
int gs_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* The same for a thread that is never joined; a failure is logged with `name`. */
int gs_thread_start_detached(const char *name, void *(*run)(void *), void *argument);

#endif
