/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the timer thread and the poll thread do in each of their rounds, for each GPU.
 * Owner: none; no state. Threads: those two. Limits: none.
 */
#ifndef GS_ROUNDS_H
#define GS_ROUNDS_H

/* At the start: sets the rounds of the two threads. */
void gs_rounds_start(void);

#endif
