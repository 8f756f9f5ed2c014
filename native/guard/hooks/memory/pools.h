/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One memory pool, for pool.c, which keeps it, and async_alloc.c, which allocates from it.
 * Owner: pool.c. Threads: any with the lock of the pool, in `growth`.
 * Limits: the memory of an imported pool is not charged here (GPU -1), but in the process that
 * exported it.
 */
#ifndef GS_POOLS_H
#define GS_POOLS_H

#include "charge/growth.h"
#include "driver/real.h"

struct gs_pool {
    struct gs_growth growth; /* its lock guards the whole pool */
    CUmemoryPool handle;
    uint64_t outstanding; /* bytes of pointers not yet freed */
    bool destroyed;
    struct gs_pool *next;
};

/* The pool with this handle, or NULL. */
struct gs_pool *gs_pool_find(CUmemoryPool handle);

/* The same, added with this GPU if it is new; NULL without memory. */
struct gs_pool *gs_pool_register(CUmemoryPool handle, int gpu);

/* Reads an attribute; false when the driver does not answer. */
bool gs_pool_read(const struct gs_pool *pool, CUmemPool_attribute what, uint64_t *value);

/* Charges what the driver reserves now. Needs the lock of the pool. */
void gs_pool_settle(struct gs_pool *pool);

#endif
