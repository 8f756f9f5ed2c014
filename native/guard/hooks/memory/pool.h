/* SPDX-License-Identifier: Apache-2.0 */
/* Memory pools and stream-ordered allocation, charged by what the driver reserves for each pool. */
#ifndef GS_POOL_H
#define GS_POOL_H

#include "base/map.h"
#include "driver/real.h"

/* A pool's pointer was freed. */
void gs_pool_returned(const struct gs_entry *entry);

void gs_pools_trim(int gpu);
void gs_pools_settle(int gpu);

/* After a synchronisation, at which the driver shrinks its pools. */
void gs_pools_synchronised(void);

void gs_pools_forget(void);

#endif
