/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns. While a share with a compute limit or guarantee wants the GPU, one share at a time may use
 * it (shares without either go together). arbiter_step.h has the decisions; this reads the GPU
 * page, takes the lease and writes the gates.
 *
 * Owner: the process that holds the lease of the GPU page. Any guard's timer thread can take it.
 * Threads: the timer thread; gs_arbiter_forget() in a forked child.
 * Limits: one state per GPU of the region.
 */
#ifndef GS_ARBITER_H
#define GS_ARBITER_H

#include "schedule/process/attachment.h"

/* A round of the timer thread; returns when it has to run next. */
uint64_t gs_arbiter_tick(struct gs_attachment *attachment, int gpu, uint64_t now);

/* In the child of a fork. */
void gs_arbiter_forget(void);

#endif
