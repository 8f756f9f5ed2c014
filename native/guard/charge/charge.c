/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charging memory against the limit of the share.
 *
 * Model. The region holds one sum per GPU for all processes of the share, and each process' part of
 * it. A hook charges what the driver is about to take, calls the driver, and uncharges when the
 * call fails or the memory is freed. What the driver takes for a request depends on its model
 * (charge.h); for small blocks only the sum over the process is known, `small`, so a request costs
 * the difference in whole pages that it makes.
 *
 * Invariants:
 * 1. Charge before the call, uncharge after: two threads can never both get the last free bytes.
 * 2. `small` and the region change together under `lock`, so the price of a small block is exact.
 * 3. Charging and uncharging the same blocks in any order ends at the same sum.
 * 4. No driver call happens under `lock`, and no other lock is taken.
 */
#include "charge/charge.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "share/attach.h"

#define PAGE (2ull << 20)
#define SMALL (1ull << 20)
#define GRAIN 512ull /* alignment of small blocks in the driver */

enum { SWEEP_PAUSE = 20 }; /* times the duration of a sweep */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t small[GS_GPUS]; /* bytes in blocks that share pages */

void gs_charge_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(small, 0, sizeof small);
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return bytes > UINT64_MAX - unit ? UINT64_MAX - unit + 1 : (bytes + unit - 1) / unit * unit;
}

/* What a request adds to the charge, or a freed block takes off. Needs the lock. */
static uint64_t price(enum gs_model model, int gpu, uint64_t bytes, bool freed)
{
    if (model == GS_EXACT)
        return bytes;
    if (bytes > SMALL)
        return round_up(bytes, PAGE);
    uint64_t before = small[gpu], block = round_up(bytes, GRAIN);
    uint64_t after = freed ? before - block : before + block;
    return freed ? round_up(before, PAGE) - round_up(after, PAGE)
                 : round_up(after, PAGE) - round_up(before, PAGE);
}

static void note_small(enum gs_model model, int gpu, uint64_t bytes, bool freed)
{
    if (model == GS_BLOCK && bytes <= SMALL)
        small[gpu] += freed ? 0 - round_up(bytes, GRAIN) : round_up(bytes, GRAIN);
}

static bool reserve(int gpu, uint64_t bytes)
{
    if (bytes == 0 && gs_attach_slot() >= 0)
        return true;
    return gs_attach_join() && gs_region_reserve(gs_shared_region(), gs_attach_slot(), gpu, bytes);
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
    pthread_mutex_lock(&lock);
    uint64_t given = price(model, gpu, bytes, true);
    note_small(model, gpu, bytes, true);
    if (given && gs_attach_slot() >= 0)
        gs_region_release(gs_shared_region(), gs_attach_slot(), gpu, given);
    pthread_mutex_unlock(&lock);
}

void gs_charge_forced(int gpu, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    if (gs_attach_join())
        gs_region_force(gs_shared_region(), gs_attach_slot(), gpu, bytes);
    pthread_mutex_unlock(&lock);
}

/* Takes a part of the time only, however often the program asks. */
static void sweep_now_and_then(void)
{
    static uint64_t next;
    uint64_t begin = gs_now();
    if (begin < __atomic_load_n(&next, __ATOMIC_RELAXED))
        return;
    gs_attach_sweep();
    uint64_t end = gs_now();
    __atomic_store_n(&next, end + SWEEP_PAUSE * (end - begin), __ATOMIC_RELAXED);
}

struct gs_usage gs_usage(int gpu)
{
    const struct gs_region *region = gs_shared_region();
    sweep_now_and_then();
    return (struct gs_usage){.limit = __atomic_load_n(&region->gpu[gpu].limit, __ATOMIC_RELAXED),
                             .used = gs_region_used(region, gpu),
                             .cached = gs_region_cached(region, gpu)};
}

void gs_count_denied(int gpu)
{
    __atomic_add_fetch(&gs_shared_region()->gpu[gpu].denied, 1, __ATOMIC_RELAXED);
}
