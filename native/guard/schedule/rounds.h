/* SPDX-License-Identifier: Apache-2.0 */
/* What the timer thread and the poll thread do in each of their rounds. */
#ifndef GS_ROUNDS_H
#define GS_ROUNDS_H

/* When the program starts: tells the two threads, which begin when they are woken. */
void gs_rounds_start(void);

#endif
