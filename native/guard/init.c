/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of the library: connects the rooms that must not include each other, and opens the
 * region in the constructor, before the program's main().
 */
#include "charge/pressure.h"
#include "driver/dlsym.h"
#include "driver/quiesce.h"
#include "fork.h"
#include "hooks/memory/graph_memory.h"
#include "hooks/memory/pool.h"
#include "hooks/setup/visible_devices.h"
#include "schedule/process/attachment.h"
#include "schedule/rounds.h"
#include "share/attach.h"
#include "swap/blocks/heap.h"
#include "swap/suspend/suspend.h"

void gs_region_opened(const struct gs_region *region)
{
    gs_pressure_add((struct gs_shrinker){gs_pools_trim, gs_pools_settle});
    gs_pressure_add((struct gs_shrinker){gs_graph_trim, gs_graph_settle});
    gs_pressure_add((struct gs_shrinker){gs_heap_trim, NULL});
    gs_suspend_announces(gs_attachments_drain);
    gs_rounds_start();
    if (region->flags & GS_REGION_MOVABLE)
        gs_quiesce_arm(region->suspend & 1);
    gs_watch_forks();
}

/* At the start, not at the first allocation: after an exec the old program's charges must go. */
__attribute__((constructor)) static void start(void)
{
    gs_next_dlsym();
    gs_active();
    gs_visible_devices_unknown();
    gs_attachments_start();
}
