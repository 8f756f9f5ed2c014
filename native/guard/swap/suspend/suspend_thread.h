/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that takes this process off its GPUs and puts it back, as the region's `suspend` says; meanwhile it has host
 * memory ready, and lets go of what is only cached when other processes of the share need it.
 */
#ifndef GS_SUSPEND_THREAD_H
#define GS_SUSPEND_THREAD_H

/* Once there is a context, where the share's memory is movable. */
void gs_suspend_thread_start(void);

/* Keeps the suspend thread from using a context while it is being destroyed. */
void gs_suspend_thread_pause(void);
void gs_suspend_thread_go_on(void);

/* A GPU's last context is gone, and with it what the driver knew of host memory. */
void gs_suspend_thread_lost_context(void);

void gs_suspend_thread_forget(void);

#endif
