/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORK_H
#define GS_FORK_H

/*
 * CUDA does not survive a fork: the child holds no memory and no slot, and joins the region again only if it
 * starts CUDA itself.
 */
void gs_watch_forks(void);

#endif
