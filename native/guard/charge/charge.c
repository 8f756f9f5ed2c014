/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/charge.h"

#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "share/attach.h"

#define PAGE (2ull << 20)
#define SMALL (1ull << 20)
#define GRAIN 512ull /* the driver aligns small blocks to this */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t small[GS_GPUS]; /* bytes in blocks that share pages */

void gs_charge_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(small, 0, sizeof small);
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
    return freed ? whole(before, PAGE) - whole(after, PAGE)
                 : whole(after, PAGE) - whole(before, PAGE);
}

static void note_small(enum gs_model model, int gpu, uint64_t bytes, bool freed)
{
    if (model == GS_BLOCK && bytes <= SMALL)
        small[gpu] += freed ? 0 - whole(bytes, GRAIN) : whole(bytes, GRAIN);
}

static bool reserve(int gpu, uint64_t bytes)
{
    struct gs_region *region = gs_shared_region();
    if (bytes == 0 && gs_attach_slot() >= 0)
        return true;
    if (!gs_region_lock(region)) {
        gs_log("the region's lock cannot be repaired; nothing is limited");
        return true;
    }
    bool reserved = gs_attach_join() && gs_region_reserve(region, gs_attach_slot(), gpu, bytes);
    gs_region_unlock(region);
    return reserved;
}

bool gs_charge(enum gs_model model, int gpu, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    bool taken = reserve(gpu, price(model, gpu, bytes, false));
    if (taken)
        note_small(model, gpu, bytes, false);
    pthread_mutex_unlock(&lock);
    return taken;
}

void gs_uncharge(enum gs_model model, int gpu, uint64_t bytes)
{
    struct gs_region *region = gs_shared_region();
    pthread_mutex_lock(&lock);
    uint64_t given = price(model, gpu, bytes, true);
    note_small(model, gpu, bytes, true);
    if (given && gs_attach_slot() >= 0 && gs_region_lock(region)) {
        gs_region_release(region, gs_attach_slot(), gpu, given);
        gs_region_unlock(region);
    }
    pthread_mutex_unlock(&lock);
}

void gs_charge_forced(int gpu, uint64_t bytes)
{
    struct gs_region *region = gs_shared_region();
    pthread_mutex_lock(&lock);
    if (gs_region_lock(region)) {
        if (gs_attach_join())
            gs_region_force(region, gs_attach_slot(), gpu, bytes);
        gs_region_unlock(region);
    }
    pthread_mutex_unlock(&lock);
}

struct gs_usage gs_usage(int gpu)
{
    struct gs_usage usage = {0};
    struct gs_region *region = gs_shared_region();
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
    struct gs_region *region = gs_shared_region();
    if (gs_region_lock(region)) {
        region->gpu[gpu].denied++;
        gs_region_unlock(region);
    }
}
