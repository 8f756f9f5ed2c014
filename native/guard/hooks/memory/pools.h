/* SPDX-License-Identifier: Apache-2.0 */
/* One pool, as pool.c keeps it and async_alloc.c allocates from it. */
#ifndef GS_POOLS_H
#define GS_POOLS_H

#include "charge/growth.h"
#include "driver/real.h"

struct gs_pool {
    struct gs_growth growth; /* its lock guards all of this */
    CUmemoryPool handle;
    uint64_t outstanding; /* bytes of pointers not yet freed */
    bool destroyed;
    struct gs_pool *next;
};

struct gs_pool *gs_pool_known(CUmemoryPool handle);

/* The pool with that handle, made known with that GPU if it was not; NULL without memory. */
struct gs_pool *gs_pool_register(CUmemoryPool handle, int gpu);

bool gs_pool_read(const struct gs_pool *pool, CUmemPool_attribute what, uint64_t *value);

/* Charges what the driver reserves now. Wants the pool's lock. */
void gs_pool_settle(struct gs_pool *pool);

#endif
