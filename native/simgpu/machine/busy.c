/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/busy.h"

#include <time.h>

uint64_t gs_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static uint64_t overlap(uint64_t a, uint64_t b, uint64_t from, uint64_t to)
{
    uint64_t low = a > from ? a : from, high = b < to ? b : to;
    return high > low ? high - low : 0;
}

static void to_history(gs_busy *busy)
{
    uint64_t start = busy->start, span = GS_BUCKETS * GS_BUCKET_NS;
    if (busy->end - start > span)
        start = busy->end - span;
    while (start < busy->end) {
        uint32_t epoch = (uint32_t)(start / GS_BUCKET_NS), i = epoch % GS_BUCKETS;
        uint64_t stop = (start / GS_BUCKET_NS + 1) * GS_BUCKET_NS;
        if (busy->epoch[i] != epoch) {
            busy->epoch[i] = epoch;
            busy->bucket[i] = 0;
        }
        busy->bucket[i] += (uint32_t)overlap(start, busy->end, start, stop);
        start = stop;
    }
}

void gs_busy_add(gs_busy *busy, uint64_t start, uint64_t end)
{
    if (end <= start)
        return;
    if (start > busy->end || busy->end == 0) {
        to_history(busy);
        busy->start = start;
        busy->end = end;
        busy->total_ns += end - start;
        return;
    }
    if (end > busy->end) {
        busy->total_ns += end - busy->end;
        busy->end = end;
    }
    if (start < busy->start)
        busy->start = start;
}

uint64_t gs_busy_in(const gs_busy *busy, uint64_t from, uint64_t to)
{
    uint64_t sum = overlap(busy->start, busy->end, from, to);
    for (int i = 0; i < GS_BUCKETS; i++) {
        uint64_t begin = (uint64_t)busy->epoch[i] * GS_BUCKET_NS;
        uint64_t part = overlap(begin, begin + GS_BUCKET_NS, from, to);
        sum += busy->bucket[i] * part / GS_BUCKET_NS;
    }
    return sum > to - from ? to - from : sum;
}
