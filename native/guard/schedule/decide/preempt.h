/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of high rank: its process' bit is raised in the word of every low seat before its first launch, and falls when
 * the work is done. When that is, is known
 *   1. at synchronisation points, when every stream it launched into is found idle,
 *   2. from the watcher, which looks now and then, for programs that never synchronise, and
 *   3. after a pause that is bridged (grace): short pauses between launches are the program's own rhythm, and letting
 *      others in costs more than it gives.
 */
#ifndef GS_PREEMPT_H
#define GS_PREEMPT_H

#include "schedule/process/attachment.h"

void gs_urgent_launch(struct gs_ride *ride, CUstream stream);

/* The caller has just waited for the GPU. */
void gs_urgent_synced(struct gs_ride *ride);

/* Looks of the keeper, who ends a grace, and of the watcher, who asks the GPU; until when they need not look again. */
uint64_t gs_urgent_keep(struct gs_ride *ride, uint64_t now);
uint64_t gs_urgent_watch(struct gs_ride *ride, uint64_t now);

/* One stream, or all of them, are about to be destroyed. */
void gs_urgent_forget_stream(struct gs_ride *ride, CUstream stream);
void gs_urgent_forget_streams(struct gs_ride *ride);

#endif
