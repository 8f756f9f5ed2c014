/* SPDX-License-Identifier: Apache-2.0 */
/* The share's region, read only: does the guard know this process, and what did it refuse? */
#ifndef GS_PROBE_REGION_VIEW_H
#define GS_PROBE_REGION_VIEW_H

#include <stdbool.h>

#include "json.h"

/* Maps the region that GPUSHARE_REGION names, if any. */
void region_open(void);

/* True when a slot of the region is this process'. */
bool region_attached(void);

void region_write(struct json *json);

#endif
