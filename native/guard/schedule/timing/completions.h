/* SPDX-License-Identifier: Apache-2.0 */
/* Events behind a turn's work: they tell, on the clock of the host, how long it went on after the turn was over. */
#ifndef GS_COMPLETIONS_H
#define GS_COMPLETIONS_H

#include "schedule/process/attachment.h"

/* An event behind what the stream has been given. */
void gs_mark(struct gs_ride *ride, int gpu, CUstream stream);

/* Reads what has come to pass; until when the keeper need not look again. */
uint64_t gs_marks_tick(struct gs_ride *ride, int gpu, uint64_t now);

/* The context and its events are about to go. */
void gs_marks_forget_context(CUcontext context);
void gs_marks_forget(void);

#endif
