/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: when a device or process was busy, and the clock of the machine.
 * Owner: the device or slot that contains it.
 * Threads: under the image lock; gs_now_ns() anywhere.
 * Limits: the newest contiguous interval exactly, and 2.4 s of history in buckets of 100 ms.
 */
#ifndef GS_SIM_BUSY_H
#define GS_SIM_BUSY_H

#include <stdint.h>

enum { GS_BUCKETS = 24 };
#define GS_BUCKET_NS 100000000ull

typedef struct gs_busy {
    /* CLOCK_MONOTONIC ns; the newest interval, which may grow and may be in the future. */
    uint64_t start, end;
    uint64_t total_ns; /* sum of all intervals, the newest included */
    uint32_t bucket[GS_BUCKETS]; /* ns busy in that bucket */
    uint32_t epoch[GS_BUCKETS]; /* the 100 ms that the bucket counts */
} gs_busy;

void gs_busy_add(gs_busy *busy, uint64_t start, uint64_t end);
/* Nanoseconds busy in [from, to); both within the last 2 s. */
uint64_t gs_busy_in(const gs_busy *busy, uint64_t from, uint64_t to);
uint64_t gs_now_ns(void); /* CLOCK_MONOTONIC */

#endif
