/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns: while a share with a compute limit or guarantee wants the GPU, one share at a time may use it (shares without
 * either go together). Any guard's timer thread can give the turns; the one that holds the GPU page's lease does.
 *
 * Two accounts per share decide. Its budget grows at its limit's rate and shrinks while its turn lasts and by what ran
 * on after it: without budget no turn. Its virtual time grows by what it used over what it is entitled to: the lowest
 * is next. So limits hold over any length of time, guarantees hold whenever they are wanted, and what nobody wants
 * goes to whoever does.
 */
#ifndef GS_ARBITER_H
#define GS_ARBITER_H

#include "schedule/process/attachment.h"

/* The timer thread's look; until when it need not look again. */
uint64_t gs_arbiter_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

void gs_arbiter_forget(void);

#endif
