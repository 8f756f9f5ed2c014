/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUDA_VISIBLE_DEVICES after a migration. Programs that a process of a migrated share starts
 * inherit the UUIDs of the GPUs that the share came from. The variable is corrected before the
 * driver reads it, in cuInit().
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/real.h"
#include "share/attach.h"

static const char VARIABLE[] = "CUDA_VISIBLE_DEVICES";
enum { LIST = GS_GPUS * GS_UUID };

static bool has_moved(const struct gs_region *region)
{
    bool moved = false;
    for (uint32_t g = 0; g < region->gpu_count; g++)
        moved = moved || __atomic_load_n(&region->gpu[g].moves, __ATOMIC_RELAXED);
    return moved;
}

static void list_uuids(const struct gs_region *region, char list[LIST])
{
    size_t at = 0;
    for (uint32_t g = 0; g < region->gpu_count && at < LIST; g++)
        at += (size_t)snprintf(list + at, LIST - at, "%s%.*s", g ? "," : "", GS_UUID - 1,
                               region->gpu[g].uuid);
}

/* A part of the UUIDs, or ordinals, is a choice of the program and stays as it is. */
static bool names_all(const char *value, uint32_t count)
{
    uint32_t uuids = strncmp(value, "GPU-", 4) == 0;
    for (const char *at = value; (at = strchr(at, ',')); at++)
        uuids += strncmp(at + 1, "GPU-", 4) == 0;
    return uuids == count;
}

static void correct_visible_devices(void)
{
    char list[LIST] = "";
    const struct gs_region *region = gs_shared_region();
    const char *value = getenv(VARIABLE);
    if (!region || !value || !has_moved(region) || !names_all(value, region->gpu_count))
        return;
    list_uuids(region, list);
    if (strcmp(value, list) != 0)
        setenv(VARIABLE, list, 1);
}

CUresult cuInit(unsigned int flags)
{
    correct_visible_devices();
    return cuda()->cuInit(flags);
}
