/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the timer thread and the poll thread do in each of their rounds, for each GPU.
 * Owner: none; no state. Threads: those two. Limits: none.
 */
#ifndef GS_ROUNDS_H
#define GS_ROUNDS_H

/* When the program starts: tells the two threads, which begin when they are woken. */
void gs_rounds_start(void);

#endif
