/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only clock of the guard, and its only sleep of a fixed length. Tests replace this file by a
 * clock of their own. Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine
 * have in common.
 * Owner: none; no state. Threads: any. Limits: the clock stands still while the machine is
 * suspended.
 */
#ifndef GS_CLOCK_H
#define GS_CLOCK_H

#include <stdint.h>

uint64_t gs_now(void);

/* Returns earlier after a signal. */
void gs_nap(uint64_t ns);

#endif
