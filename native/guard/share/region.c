/* SPDX-License-Identifier: Apache-2.0 */
#include "share/region.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/life.h"
#include "base/process.h"
#include "base/shared_file.h"

static_assert(offsetof(struct gs_region, gpu) == 512, "the header is 512 bytes");
static_assert(sizeof(struct gs_region_gpu) == 512, "a GPU is 512 bytes");
static_assert(sizeof(struct gs_region_slot) == 256, "a slot is 256 bytes");
static_assert(sizeof(pthread_mutex_t) <= 64, "the lock fits its space");

static void write_begin(struct gs_region *region)
{
    uint64_t odd = (__atomic_load_n(&region->sequence, __ATOMIC_RELAXED) + 1) | 1;
    __atomic_exchange_n(&region->sequence, odd, __ATOMIC_SEQ_CST);
}

static void write_end(struct gs_region *region)
{
    uint64_t even = __atomic_load_n(&region->sequence, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(&region->sequence, even, __ATOMIC_RELEASE);
}

static void recompute(struct gs_region *region)
{
    for (uint32_t g = 0; g < region->gpu_count; g++) {
        uint64_t used = 0;
        for (uint32_t s = 0; s < region->slots_high; s++)
            used += region->slot[s].pid ? region->slot[s].charged[g] : 0;
        region->gpu[g].used = used;
        if (used > region->gpu[g].peak)
            region->gpu[g].peak = used;
    }
}

static bool locked(struct gs_region *region, int error)
{
    if (error != 0 && error != EOWNERDEAD)
        return false;
    write_begin(region);
    if (error == EOWNERDEAD) {
        gs_region_sweep(region);
        recompute(region);
        pthread_mutex_consistent(&region->lock);
    }
    return true;
}

bool gs_region_lock(struct gs_region *region)
{
    return locked(region, pthread_mutex_lock(&region->lock));
}

void gs_region_unlock(struct gs_region *region)
{
    write_end(region);
    pthread_mutex_unlock(&region->lock);
}

/* Invariant 5 of region.h. */
static bool dead(const struct gs_region_slot *slot, int fd)
{
    if (!slot->pid)
        return false;
    if (slot->life)
        return gs_life_ended(fd, slot->life);
    return slot->pid_namespace == gs_process_namespace()
           && !gs_process_alive(slot->pid, slot->start);
}

/*
 * Takes what a process cached out of `cached`. On which GPU it was is known only in a share of one
 * GPU.
 */
static void uncache(struct gs_region *region, const struct gs_region_slot *slot)
{
    uint64_t left = slot->cached;
    for (uint32_t g = 0; g < region->gpu_count && left; g++) {
        uint64_t *cached = &region->gpu[g].cached,
                 most = slot->charged[g] < *cached ? slot->charged[g] : *cached;
        uint64_t gone = left < most ? left : most;
        __atomic_sub_fetch(cached, gone, __ATOMIC_RELAXED);
        left -= gone;
    }
}

static void clear(struct gs_region *region, struct gs_region_slot *slot)
{
    uncache(region, slot);
    memset(slot, 0, sizeof *slot);
}

int gs_region_sweep(struct gs_region *region)
{
    int kept_errno = errno, swept = 0, fd = gs_shared_file_reopen(region);
    for (uint32_t s = 0; s < region->slots_high; s++) {
        if (dead(&region->slot[s], fd)) {
            clear(region, &region->slot[s]);
            swept++;
        }
    }
    if (fd >= 0)
        close(fd);
    if (swept)
        recompute(region);
    errno = kept_errno;
    return swept;
}

static int find_free(struct gs_region *region)
{
    for (uint32_t s = 0; s < region->slots_high; s++)
        if (!region->slot[s].pid)
            return (int)s;
    return region->slots_high < region->slot_count ? (int)region->slots_high++ : -1;
}

int gs_region_join(struct gs_region *region, uint64_t life)
{
    int kept_errno = errno;
    int s = find_free(region);
    if (s < 0 && gs_region_sweep(region))
        s = find_free(region);
    if (s >= 0) {
        struct gs_region_slot *slot = &region->slot[s];
        memset(slot, 0, sizeof *slot);
        slot->life = life;
        slot->start = gs_process_start(getpid());
        slot->pid_namespace = gs_process_namespace();
        slot->pid = getpid();
    }
    errno = kept_errno;
    return s;
}

void gs_region_force(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    struct gs_region_gpu *at = &region->gpu[gpu];
    region->slot[slot].charged[gpu] += bytes;
    at->used += bytes;
    at->allocations++;
    if (at->used > at->peak)
        at->peak = at->used;
}

static bool fits(const struct gs_region_gpu *gpu, uint64_t bytes)
{
    return gpu->used <= gpu->limit && bytes <= gpu->limit - gpu->used;
}

bool gs_region_reserve(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    struct gs_region_gpu *at = &region->gpu[gpu];
    if (!fits(at, bytes) && !(gs_region_sweep(region) && fits(at, bytes)))
        return false;
    gs_region_force(region, slot, gpu, bytes);
    return true;
}

void gs_region_release(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    uint64_t *charged = &region->slot[slot].charged[gpu];
    uint64_t given = bytes < *charged ? bytes : *charged;
    *charged -= given;
    region->gpu[gpu].used -= given;
}
