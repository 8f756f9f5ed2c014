/* SPDX-License-Identifier: Apache-2.0 */
/* The region as a file: created and written by the daemon, mapped by the guards. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/export.h"
#include "base/shared_file.h"
#include "share/region.h"

static bool sound(const struct gs_region *region)
{
    return region->magic == GS_REGION_MAGIC && region->version == GS_REGION_VERSION
           && region->header_size == offsetof(struct gs_region, gpu)
           && region->gpu_size == sizeof(struct gs_region_gpu)
           && region->slot_size == sizeof(struct gs_region_slot) && region->gpu_count <= GS_GPUS
           && region->slot_count == GS_REGION_SLOTS && region->slots_high <= GS_REGION_SLOTS;
}

struct gs_region *gs_region_map(const char *path)
{
    struct gs_region *region = gs_shared_file_map(path, sizeof *region);
    if (!region || sound(region))
        return region;
    gs_region_unmap(region);
    errno = EBADMSG;
    return NULL;
}

void gs_region_unmap(struct gs_region *region)
{
    gs_shared_file_unmap(region, sizeof *region);
}

struct grants {
    const struct gpushare_grant *grants;
    unsigned count;
};

static void fill(void *content, const void *with)
{
    struct gs_region *region = content;
    const struct grants *all = with;
    region->version = GS_REGION_VERSION;
    region->header_size = offsetof(struct gs_region, gpu);
    region->gpu_size = sizeof(struct gs_region_gpu);
    region->slot_size = sizeof(struct gs_region_slot);
    region->gpu_count = all->count;
    region->slot_count = GS_REGION_SLOTS;
    for (unsigned g = 0; g < all->count; g++) {
        const struct gpushare_grant *grant = &all->grants[g];
        memcpy(region->gpu[g].uuid, grant->uuid, GS_UUID - 1);
        region->gpu[g].limit = grant->limit;
        region->gpu[g].context = grant->context;
        region->gpu[g].share_slot = grant->share_slot;
    }
    region->magic = GS_REGION_MAGIC;
}

GS_EXPORT int gpushare_region_create(const char *path, const struct gpushare_grant *grants,
                                     unsigned count)
{
    const struct grants all = {grants, count};
    if (count == 0 || count > GS_GPUS)
        return -EINVAL;
    return gs_shared_file_make(path, sizeof(struct gs_region), fill, &all);
}

static int find_gpu(const struct gs_region *region, const char *uuid)
{
    for (uint32_t g = 0; g < region->gpu_count; g++)
        if (strncmp(region->gpu[g].uuid, uuid, GS_UUID) == 0)
            return (int)g;
    return -ENODEV;
}

/*
 * Does not map: the file belongs to the user of the share, who could truncate it and kill the daemon
 * by SIGBUS. An aligned word is written at once.
 */
static int open_policy(const char *path, struct gs_region *copy)
{
    int fd = gs_shared_file_open(path, 0, sizeof *copy);
    if (fd < 0)
        return fd;
    if (pread(fd, copy, sizeof *copy, 0) == (ssize_t)sizeof *copy && sound(copy))
        return fd;
    close(fd);
    return -EBADMSG;
}

static bool put(int fd, size_t at, const void *value, size_t size)
{
    return pwrite(fd, value, size, (off_t)at) == (ssize_t)size;
}

static size_t gpu_at(int gpu, size_t field)
{
    return offsetof(struct gs_region, gpu) + (size_t)gpu * sizeof(struct gs_region_gpu) + field;
}

GS_EXPORT int gpushare_region_set_limit(const char *path, const char *uuid, uint64_t limit)
{
    struct gs_region copy;
    int fd = open_policy(path, &copy);
    if (fd < 0)
        return fd;
    int gpu = find_gpu(&copy, uuid), result = gpu < 0 ? gpu : 0;
    if (gpu >= 0) {
        uint64_t generation = copy.gpu[gpu].generation + 1;
        if (!put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, limit)), &limit, 8)
            || !put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, generation)), &generation, 8))
            result = -EIO;
    }
    close(fd);
    return result;
}

GS_EXPORT int gpushare_region_set_peak(const char *path, const char *uuid, uint64_t peak)
{
    struct gs_region copy;
    int fd = open_policy(path, &copy);
    if (fd < 0)
        return fd;
    int gpu = find_gpu(&copy, uuid), result = gpu < 0 ? gpu : 0;
    if (gpu >= 0 && !put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, peak)), &peak, 8))
        result = -EIO;
    close(fd);
    return result;
}

GS_EXPORT int gpushare_region_set_flags(const char *path, uint32_t flags)
{
    struct gs_region copy;
    int fd = open_policy(path, &copy);
    if (fd < 0)
        return fd;
    bool done = put(fd, offsetof(struct gs_region, flags), &flags, sizeof flags);
    close(fd);
    return done ? 0 : -EIO;
}

/*
 * The parity of `suspend` is the order, so a repeated order changes nothing. `keep` is written
 * first, so a process that reads the order reads the right value.
 */
static int order(const char *path, bool away, uint64_t keep)
{
    struct gs_region copy;
    int fd = open_policy(path, &copy);
    if (fd < 0)
        return fd;
    bool done = true;
    for (uint32_t g = 0; away && g < copy.gpu_count; g++)
        done = done && put(fd, gpu_at((int)g, offsetof(struct gs_region_gpu, keep)), &keep, 8);
    uint32_t suspend = copy.suspend + ((copy.suspend & 1) != away);
    done = done && put(fd, offsetof(struct gs_region, suspend), &suspend, sizeof suspend);
    close(fd);
    return done ? 0 : -EIO;
}

GS_EXPORT int gpushare_region_suspend(const char *path, uint64_t keep)
{
    return order(path, true, keep);
}

GS_EXPORT int gpushare_region_resume(const char *path)
{
    return order(path, false, 0);
}

/* `moves` last: a reader that finds it changed reads the rest as written here. */
static bool put_move(int fd, int gpu, const struct gpushare_grant *grant, uint64_t moves)
{
    char name[GS_UUID] = {0};
    memcpy(name, grant->uuid, GS_UUID - 1);
    return put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, uuid)), name, sizeof name)
           && put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, limit)), &grant->limit, 8)
           && put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, context)), &grant->context, 8)
           && put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, share_slot)), &grant->share_slot,
                  8)
           && put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, moves)), &moves, 8);
}

GS_EXPORT int gpushare_region_move(const char *path, unsigned gpu,
                                   const struct gpushare_grant *grant)
{
    struct gs_region copy;
    int fd = open_policy(path, &copy);
    if (fd < 0)
        return fd;
    bool valid = gpu < copy.gpu_count;
    bool done = valid && put_move(fd, (int)gpu, grant, copy.gpu[gpu].moves + 1);
    close(fd);
    return done ? 0 : valid ? -EIO : -ENODEV;
}
