/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory pools: what other rooms need of them. The charge of a pool follows what the driver
 * reserves for it.
 * Owner: pool.c. Threads: any; one lock per pool, one for the list.
 * Limits: pools stay in the list when destroyed, so that a pointer to one stays valid.
 */
#ifndef GS_POOL_H
#define GS_POOL_H

#include "base/map.h"
#include "driver/real.h"

/* A pointer of a pool was freed. */
void gs_pool_returned(const struct gs_entry *entry);

/* The shrinker. */
void gs_pools_trim(int gpu);
void gs_pools_settle(int gpu);

/* After a synchronisation, in which the driver shrinks its pools. */
void gs_pools_synchronised(void);

/* In the child of a fork. */
void gs_pools_forget(void);

#endif
