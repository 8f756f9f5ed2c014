/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the only clock of the guard, and the only sleep of a fixed length. Tests replace this file by a clock of
 * their own.
 * Owner: none; no state. Threads: any. Limits: none.
 */
#ifndef GS_CLOCK_H
#define GS_CLOCK_H

#include <stdint.h>

uint64_t gs_now(void); /* ns of CLOCK_MONOTONIC */

void gs_nap(uint64_t ns); /* less after a signal */

#endif
