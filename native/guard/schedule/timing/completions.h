/* SPDX-License-Identifier: Apache-2.0 */
/* Events behind a turn's work: they tell, on the clock of the host, how long it went on after the turn was over. */
#ifndef GS_COMPLETIONS_H
#define GS_COMPLETIONS_H

#include "schedule/process/attachment.h"

/* An event behind what the stream has been given. */
void gs_completions_record(struct gs_attachment *attachment, int gpu, CUstream stream);

/* Reads what has come to pass; until when the poll thread need not look again. */
uint64_t gs_completions_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

/* The context and its events are about to go. */
void gs_completions_forget_context(CUcontext context);
void gs_completions_forget(void);

#endif
