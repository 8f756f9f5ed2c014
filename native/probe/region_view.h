/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the share's region, read only: whether the guard counts this process, and what it refused.
 * Owner: the mapping stays until the process ends.
 * Threads: the main thread.
 * Limits: without GPUSHARE_REGION the answers are empty.
 */
#ifndef GS_PROBE_REGION_VIEW_H
#define GS_PROBE_REGION_VIEW_H

#include <stdbool.h>

#include "base/json.h"

/* Maps the region that GPUSHARE_REGION names, if any. */
void region_open(void);

/* Whether this process has a slot in the region. */
bool region_attached(void);

void region_write(struct json *json);

#endif
