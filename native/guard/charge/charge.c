/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/charge.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "driver/quiesce.h"
#include "fork.h"
#include "share/region.h"

#define PAGE (2ull << 20)
#define SMALL (1ull << 20)
#define GRAIN 512ull /* the driver aligns small blocks to this */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_region *region;
static int slot = -1;
static uint64_t small[GS_GPUS]; /* bytes in blocks that share pages */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
           c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_uuid(const char *name, unsigned char uuid[16])
{
    const char *at = strchr(name, '-');
    int digits = 0;
    for (; at && *at && digits < 32; at++) {
        if (digit(*at) < 0)
            continue;
        uuid[digits / 2] = (unsigned char)(uuid[digits / 2] << 4 | digit(*at));
        digits++;
    }
    return digits == 32;
}

void gs_limit_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    slot = -1;
    memset(small, 0, sizeof small);
}

static void open_region(void)
{
    int kept_errno = errno;
    const char *path = getenv("GPUSHARE_REGION");
    struct gs_region *mapped = path && *path ? gs_region_map(path) : NULL;
    if (path && *path && !mapped)
        gs_log("cannot map the region %s: %s; this process is not limited", path, strerror(errno));
    if (mapped) {
        unsigned char uuid[16] = {0};
        for (uint32_t g = 0; g < mapped->gpu_count; g++)
            if (!parse_uuid(mapped->gpu[g].uuid, uuid))
                gs_log("the region names no UUID but %s", mapped->gpu[g].uuid);
        if (mapped->slots_high && gs_region_lock(mapped)) {
            gs_region_forget(mapped, getpid());
            gs_region_unlock(mapped);
        }
        region = mapped;
        if (mapped->flags & GS_REGION_MOVABLE)
            gs_halt_arm(mapped->halt & 1);
        gs_watch_forks();
    }
    errno = kept_errno;
}

bool gs_active(void)
{
    pthread_once(&once, open_region);
    return region != NULL;
}

struct gs_region *gs_shared_region(void)
{
    return gs_active() ? region : NULL;
}

struct gs_region_slot *gs_shared_slot(void)
{
    int mine = __atomic_load_n(&slot, __ATOMIC_ACQUIRE);
    return mine < 0 ? NULL : &region->slot[mine];
}

/* Read anew each time: the share may have moved. */
int gs_gpu_by_uuid(const unsigned char uuid[16])
{
    unsigned char here[16] = {0};
    for (uint32_t g = 0; gs_active() && g < region->gpu_count; g++)
        if (parse_uuid(region->gpu[g].uuid, here) && memcmp(here, uuid, 16) == 0)
            return (int)g;
    return -1;
}

int gs_gpu_by_name(const char *name)
{
    unsigned char uuid[16] = {0};
    return parse_uuid(name, uuid) ? gs_gpu_by_uuid(uuid) : -1;
}

uint64_t gs_context_bytes(int gpu)
{
    return __atomic_load_n(&region->gpu[gpu].context, __ATOMIC_RELAXED);
}

static uint64_t whole(uint64_t bytes, uint64_t unit)
{
    return bytes > UINT64_MAX - unit ? UINT64_MAX - unit + 1 : (bytes + unit - 1) / unit * unit;
}

/* What a request adds to the charge; for a freed block, what goes. Wants the lock. */
static uint64_t price(enum gs_model model, int gpu, uint64_t bytes, bool freed)
{
    if (model == GS_EXACT)
        return bytes;
    if (bytes > SMALL)
        return whole(bytes, PAGE);
    uint64_t before = small[gpu], block = whole(bytes, GRAIN);
    uint64_t after = freed ? before - block : before + block;
    return freed ? whole(before, PAGE) - whole(after, PAGE) : whole(after, PAGE) - whole(before, PAGE);
}

static void note_small(enum gs_model model, int gpu, uint64_t bytes, bool freed)
{
    if (model == GS_BLOCK && bytes <= SMALL)
        small[gpu] += freed ? 0 - whole(bytes, GRAIN) : whole(bytes, GRAIN);
}

static bool joined(void)
{
    if (slot < 0)
        __atomic_store_n(&slot, gs_region_join(region, getpid()), __ATOMIC_RELEASE);
    if (slot < 0)
        gs_log("the share has more processes than the region has room for");
    return slot >= 0;
}

static bool reserve(int gpu, uint64_t bytes)
{
    if (bytes == 0 && slot >= 0)
        return true;
    if (!gs_region_lock(region)) {
        gs_log("the region's lock cannot be repaired; nothing is limited");
        return true;
    }
    bool reserved = joined() && gs_region_reserve(region, slot, gpu, bytes);
    gs_region_unlock(region);
    return reserved;
}

bool gs_take(enum gs_model model, int gpu, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    bool taken = reserve(gpu, price(model, gpu, bytes, false));
    if (taken)
        note_small(model, gpu, bytes, false);
    pthread_mutex_unlock(&lock);
    return taken;
}

void gs_give(enum gs_model model, int gpu, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    uint64_t given = price(model, gpu, bytes, true);
    note_small(model, gpu, bytes, true);
    if (given && slot >= 0 && gs_region_lock(region)) {
        gs_region_release(region, slot, gpu, given);
        gs_region_unlock(region);
    }
    pthread_mutex_unlock(&lock);
}

void gs_force(int gpu, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    if (gs_region_lock(region)) {
        if (joined())
            gs_region_force(region, slot, gpu, bytes);
        gs_region_unlock(region);
    }
    pthread_mutex_unlock(&lock);
}

struct gs_usage gs_usage(int gpu)
{
    struct gs_usage usage = {0};
    bool locked = gs_region_lock(region);
    if (locked)
        gs_region_sweep(region);
    usage.limit = region->gpu[gpu].limit;
    usage.used = region->gpu[gpu].used;
    usage.cached = __atomic_load_n(&region->gpu[gpu].cached, __ATOMIC_RELAXED);
    if (locked)
        gs_region_unlock(region);
    return usage;
}

void gs_count_denied(int gpu)
{
    if (gs_region_lock(region)) {
        region->gpu[gpu].denied++;
        gs_region_unlock(region);
    }
}

void gs_count_unlisted(void)
{
    __atomic_add_fetch(&region->unlisted, 1, __ATOMIC_RELAXED);
}

void gs_count_unhooked(const char *symbol)
{
    gs_log("%s: the driver offers a version of it that the guard does not know", symbol);
    __atomic_add_fetch(&region->unhooked, 1, __ATOMIC_RELAXED);
}
