/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The suspend thread: carries out the region's orders to suspend and resume (suspend.c), and
 * prestages in between (prestage.c). It looks every 10 ms.
 * Owner: started by the hooks that create contexts. Threads: any may call; `lock` covers the use of
 * contexts while the program runs. Limits: one per process, in movable shares only; without it the
 * process cannot be suspended.
 */
#ifndef GS_SUSPEND_THREAD_H
#define GS_SUSPEND_THREAD_H

/* When there is a context. Does nothing in shares that are not movable, or when it runs. */
void gs_suspend_thread_start(void);

/* Keep the suspend thread from using a context while it is being destroyed. */
void gs_suspend_thread_pause(void);
void gs_suspend_thread_continue(void);

/* The last context of a GPU has ended, and with it the registrations of host memory. */
void gs_suspend_thread_lost_context(void);

/* In the child of a fork. */
void gs_suspend_thread_forget(void);

#endif
