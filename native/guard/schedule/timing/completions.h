/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events behind a turn's work. They show, on the clock of the host, how long it went on after the
 * turn was over. overrun_step.h has what is counted; this has the events.
 *
 * Owner: each process, for its own work on one GPU.
 * Threads: any thread that launches or waits, and the poll thread. Launches never wait for the
 * lock: where it is held, or 64 events are pending, no event is recorded.
 * Limits: in the first context of the process on that GPU.
 */
#ifndef GS_COMPLETIONS_H
#define GS_COMPLETIONS_H

#include "schedule/process/attachment.h"

/* Records an event after what is queued in the stream. */
void gs_completions_record(struct gs_attachment *attachment, int gpu, CUstream stream);

/* A round of the poll thread: reads finished events; returns when to run next. */
uint64_t gs_completions_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

/* Before a context ends, and with it its events; in the child of a fork. */
void gs_completions_forget_context(CUcontext context);
void gs_completions_forget(void);

#endif
