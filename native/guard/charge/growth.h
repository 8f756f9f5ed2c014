/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the driver grows and shrinks by itself: a memory pool, the graphs of a GPU. The
 * charge follows the driver's own count of reserved bytes.
 * Owner: the hook that has the pool. Threads: any that holds `lock`.
 * Limits: the estimate assumes that growth comes in steps of `grain`, which is learned from the
 * growth observed.
 */
#ifndef GS_GROWTH_H
#define GS_GROWTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gs_growth {
    pthread_mutex_t lock;
    int gpu; /* -1: not charged */
    uint64_t charged;
    uint64_t grain; /* the smallest step of growth observed */
};

struct gs_growth gs_growth_new(int gpu);

/* How much a request can make it grow; too little only when its memory is fragmented. */
uint64_t gs_growth_estimate(const struct gs_growth *growth, uint64_t bytes, uint64_t used);

/*
 * Sets the charge to what the driver reserves now; `claimed` bytes are charged already. False, with
 * nothing changed, when that needs more and the share has no more.
 */
bool gs_growth_settle(struct gs_growth *growth, uint64_t reserved, uint64_t claimed);

/* The same for growth that cannot be undone: charged beyond the limit if necessary. */
void gs_growth_settle_forced(struct gs_growth *growth, uint64_t reserved, uint64_t claimed);

#endif
