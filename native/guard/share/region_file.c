/* SPDX-License-Identifier: Apache-2.0 */
/* The region as a file: created and written by the daemon, mapped by the guards. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/export.h"
#include "base/shared_file.h"
#include "share/former_region.h"
#include "share/region.h"

/* What the daemon writes for one GPU has the same place in all versions. */
static_assert(sizeof(struct gs_former_region_slot) == 256, "a slot was 256 bytes");
static_assert(offsetof(struct gs_former_region, slot) == offsetof(struct gs_region, slot),
              "slots begin where they did");
static_assert(offsetof(struct gs_former_region_gpu, moves) == offsetof(struct gs_region_gpu, moves),
              "the policy of a GPU is where it was");

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

static bool former(const struct gs_region *region)
{
    return region->magic == GS_REGION_MAGIC && region->version >= 1
           && region->version <= GS_FORMER_REGION_VERSION
           && region->header_size == offsetof(struct gs_former_region, gpu)
           && region->gpu_size == sizeof(struct gs_former_region_gpu)
           && region->slot_size == sizeof(struct gs_former_region_slot)
           && region->gpu_count <= GS_GPUS && region->slot_count == GS_REGION_SLOTS
           && region->slots_high <= GS_REGION_SLOTS;
}

/* Where a region has what the daemon writes and what is not in the same place in all versions. */
struct policy {
    int fd;
    size_t flags, suspend, peak; /* offsets; `peak` within a GPU */
    uint32_t suspended;         /* what `suspend` is now */
    struct gs_region_gpu gpu[GS_GPUS];
    uint32_t gpu_count;
};

enum { HEAD = offsetof(struct gs_region, slot) }; /* all of the policy is before the slots */

static int read_policy(struct policy *policy)
{
    union {
        unsigned char bytes[HEAD];
        struct gs_region region;
        struct gs_former_region former;
    } *head = malloc(sizeof *head);
    if (!head)
        return -ENOMEM;
    off_t size = lseek(policy->fd, 0, SEEK_END);
    bool whole = pread(policy->fd, head->bytes, HEAD, 0) == HEAD;
    bool ours = whole && sound(&head->region) && size >= (off_t)sizeof head->region;
    bool theirs = whole && former(&head->region) && size >= (off_t)sizeof head->former;
    if (ours || theirs) {
        policy->flags =
            theirs ? offsetof(struct gs_former_region, flags) : offsetof(struct gs_region, flags);
        policy->suspend = theirs ? offsetof(struct gs_former_region, suspend)
                                 : offsetof(struct gs_region, suspend);
        policy->peak = theirs ? offsetof(struct gs_former_region_gpu, peak)
                              : offsetof(struct gs_region_gpu, peak);
        policy->suspended = theirs ? head->former.suspend : head->region.suspend;
        policy->gpu_count = head->region.gpu_count;
        memcpy(policy->gpu, head->region.gpu, sizeof policy->gpu);
    }
    free(head);
    return ours || theirs ? 0 : -EBADMSG;
}

/*
 * Does not map: the file belongs to the user of the share, who could truncate it and kill the daemon
 * by SIGBUS. An aligned word is written at once.
 */
static int open_policy(const char *path, struct policy *policy)
{
    policy->fd = gs_shared_file_open(path, 0, HEAD);
    if (policy->fd < 0)
        return policy->fd;
    int result = read_policy(policy);
    if (result < 0)
        close(policy->fd);
    return result;
}

static int find_gpu(const struct policy *policy, const char *uuid)
{
    for (uint32_t g = 0; g < policy->gpu_count; g++)
        if (strncmp(policy->gpu[g].uuid, uuid, GS_UUID) == 0)
            return (int)g;
    return -ENODEV;
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
    struct policy policy;
    int result = open_policy(path, &policy);
    if (result < 0)
        return result;
    int gpu = find_gpu(&policy, uuid), fd = policy.fd;
    if (gpu < 0)
        result = gpu;
    else {
        uint64_t generation = policy.gpu[gpu].generation + 1;
        if (!put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, limit)), &limit, 8)
            || !put(fd, gpu_at(gpu, offsetof(struct gs_region_gpu, generation)), &generation, 8))
            result = -EIO;
    }
    close(fd);
    return result;
}

GS_EXPORT int gpushare_region_set_peak(const char *path, const char *uuid, uint64_t peak)
{
    struct policy policy;
    int result = open_policy(path, &policy);
    if (result < 0)
        return result;
    int gpu = find_gpu(&policy, uuid);
    result = gpu < 0 ? gpu : put(policy.fd, gpu_at(gpu, policy.peak), &peak, 8) ? 0 : -EIO;
    close(policy.fd);
    return result;
}

GS_EXPORT int gpushare_region_set_flags(const char *path, uint32_t flags)
{
    struct policy policy;
    int result = open_policy(path, &policy);
    if (result < 0)
        return result;
    bool done = put(policy.fd, policy.flags, &flags, sizeof flags);
    close(policy.fd);
    return done ? 0 : -EIO;
}

/*
 * The parity of `suspend` is the order, so a repeated order changes nothing. `keep` is written
 * first, so a process that reads the order reads the right value.
 */
static int order(const char *path, bool away, uint64_t keep)
{
    struct policy policy;
    int result = open_policy(path, &policy);
    if (result < 0)
        return result;
    bool done = true;
    int fd = policy.fd;
    for (uint32_t g = 0; away && g < policy.gpu_count; g++)
        done = done && put(fd, gpu_at((int)g, offsetof(struct gs_region_gpu, keep)), &keep, 8);
    uint32_t suspend = policy.suspended + ((policy.suspended & 1) != away);
    done = done && put(fd, policy.suspend, &suspend, sizeof suspend);
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
    struct policy policy;
    int result = open_policy(path, &policy);
    if (result < 0)
        return result;
    bool valid = gpu < policy.gpu_count;
    bool done = valid && put_move(policy.fd, (int)gpu, grant, policy.gpu[gpu].moves + 1);
    close(policy.fd);
    return done ? 0 : valid ? -EIO : -ENODEV;
}
