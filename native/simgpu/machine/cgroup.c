/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/cgroup.h"

#include <string.h>

/*
 * A cgroup directory without its mount point: /sys/fs/cgroup[/unified|/CONTROLLERS]/share-a ->
 * /share-a.
 */
static const char *inside_mount(const char *directory, const char *controllers, size_t length)
{
    static const char root[] = "/sys/fs/cgroup";
    if (strncmp(directory, root, sizeof root - 1) != 0)
        return directory;
    directory += sizeof root - 1;
    if (length == 0)
        return strncmp(directory, "/unified/", 9) == 0 ? directory + 8 : directory;
    if (directory[0] == '/' && strncmp(directory + 1, controllers, length) == 0
        && directory[length + 1] == '/')
        return directory + length + 1;
    return NULL;
}

static bool path_holds(const char *above, const char *path, size_t length, bool leaf)
{
    size_t n = strlen(above);
    while (n > 1 && above[n - 1] == '/')
        n--;
    if (n > length || strncmp(above, path, n) != 0)
        return false;
    return n == length || (!leaf && (path[n] == '/' || n == 1));
}

bool gs_cgroup_holds(const char *cgroup, const char *proc_cgroup, bool leaf)
{
    /* Lines are "id:controllers:path"; for cgroup v2 controllers is empty. */
    for (const char *line = proc_cgroup; *line;) {
        size_t length = strcspn(line, "\n");
        const char *first = memchr(line, ':', length);
        const char *second =
            first ? memchr(first + 1, ':', length - (size_t)(first + 1 - line)) : NULL;
        if (second) {
            const char *above = inside_mount(cgroup, first + 1, (size_t)(second - first - 1));
            if (above && path_holds(above, second + 1, (size_t)(line + length - second - 1), leaf))
                return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

static bool covers(const gs_image *image, const gs_limit *limit, int device)
{
    return limit->present
           && (limit->device == device || limit->device == image->devices[device].parent);
}

uint64_t gs_limit_used(const gs_image *image, const gs_limit *limit)
{
    uint64_t sum = 0;
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *slot = &image->slots[i];
        /* Managed memory counts as system memory here (NVIDIA memory partitioning, r615). */
        if (slot->pid && gs_cgroup_holds(limit->cgroup, slot->cgroup, false))
            sum += slot->use[limit->device].bytes - slot->use[limit->device].managed;
    }
    return sum;
}

const gs_limit *gs_limit_of(const gs_image *image, const gs_slot *slot, int device)
{
    const gs_limit *tightest = NULL;
    for (int i = 0; i < GS_MAX_LIMITS; i++) {
        const gs_limit *limit = &image->limits[i];
        if (!covers(image, limit, device) || !gs_cgroup_holds(limit->cgroup, slot->cgroup, false))
            continue;
        if (!tightest || limit->hard < tightest->hard)
            tightest = limit;
    }
    return tightest;
}
