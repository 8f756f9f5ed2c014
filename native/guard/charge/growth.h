/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the driver grows and shrinks by itself (a pool, the graphs of a GPU): what is charged follows the
 * driver's own count of reserved bytes.
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
    uint64_t grain; /* the smallest step in which it was seen to grow */
};

struct gs_growth gs_growth_new(int gpu);

/* How much a request may make it grow, never too little unless memory is fragmented. */
uint64_t gs_growth_estimate(const struct gs_growth *growth, uint64_t bytes, uint64_t used);

/*
 * Makes the charge what the driver reserves now, using up a claim made for it. False, with nothing changed, when
 * that needs more than the claim and the share has no more.
 */
bool gs_growth_settle(struct gs_growth *growth, uint64_t reserved, uint64_t claimed);

/* The same where what happened cannot be undone: charged whatever the limit says. */
void gs_growth_settle_forced(struct gs_growth *growth, uint64_t reserved, uint64_t claimed);

#endif
