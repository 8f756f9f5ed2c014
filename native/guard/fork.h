/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in the child of a fork. CUDA does not survive a fork: the child has no GPU memory,
 * no slot and none of the guard's threads. It joins the region again if it starts CUDA itself.
 * Owner: none; each room has its own state and forgets it. Threads: the child's only one.
 * Limits: a new room has to be added to fork.c.
 */
#ifndef GS_FORK_H
#define GS_FORK_H

/* From gs_region_opened(). */
void gs_watch_forks(void);

#endif
