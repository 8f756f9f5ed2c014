/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of high rank. Its process' bit is set in the gate of every low share slot before its first
 * launch, and cleared when the work is done. When that is, is known
 *   1. at synchronisation points, when every stream it launched into is found idle,
 *   2. from the poll thread, which looks from time to time, for programs that never synchronise,
 *      and
 *   3. after a pause that is bridged (grace): short pauses between launches are the program's own
 *      rhythm, and letting others in costs more than it gives.
 *
 * preempt_step.h has the decisions; this has the gates, the streams, and the handshake with
 * launches.
 *
 * Owner: each process of high rank, for its own bit.
 * Threads: launching threads, the timer thread and the poll thread. The busy period's lock orders
 * them; a launch into the stream of the thread's newest launch takes no lock.
 * Limits: GS_TRACKED streams in one busy period; with more only time tells that it is over.
 */
#ifndef GS_PREEMPT_H
#define GS_PREEMPT_H

#include "schedule/process/attachment.h"

void gs_preempt_launch(struct gs_attachment *attachment, CUstream stream);

/* After the calling thread has waited for the GPU. */
void gs_preempt_synced(struct gs_attachment *attachment);

/*
 * Rounds of the timer thread, which ends a grace, and of the poll thread, which asks the GPU;
 * return when to run next.
 */
uint64_t gs_preempt_timer_tick(struct gs_attachment *attachment, uint64_t now);
uint64_t gs_preempt_poll_tick(struct gs_attachment *attachment, uint64_t now);

/* Before one stream, or all of them, are destroyed. */
void gs_preempt_forget_stream(struct gs_attachment *attachment, CUstream stream);
void gs_preempt_forget_streams(struct gs_attachment *attachment);

#endif
