/* SPDX-License-Identifier: Apache-2.0 */
#include "share/region.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/life.h"
#include "base/process.h"
#include "base/shared_file.h"

static_assert(offsetof(struct gs_region, gpu) == 512, "the header is 512 bytes");
static_assert(sizeof(struct gs_region_gpu) == 512, "a GPU is 512 bytes");
static_assert(sizeof(struct gs_region_slot) == 384, "a slot is 384 bytes");
static_assert(offsetof(struct gs_region_slot, life) == 0, "a slot is words from its life on");

#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_SEQ_CST)
#define STORE(word, value) __atomic_store_n(&(word), value, __ATOMIC_SEQ_CST)

static uint32_t slots(const struct gs_region *region)
{
    uint32_t high = LOAD(region->slots_high);
    return high < GS_REGION_SLOTS ? high : GS_REGION_SLOTS;
}

/* Invariant 5; where it empties a slot, a process without a life is known by its pid alone. */
enum { EMPTIES_BIT = 62 };
#define EMPTIES (1ull << EMPTIES_BIT)

static uint64_t owner(uint64_t life, uint64_t how)
{
    return life ? life : GS_REGION_NO_LIFE | how | (uint32_t)getpid();
}

static bool take(struct gs_region_slot *slot, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&slot->life, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* The life last: until then the slot is ours. */
static void empty(struct gs_region_slot *slot)
{
    uint64_t *words = &slot->life;
    for (size_t i = sizeof *slot / sizeof *words; i-- > 0;)
        STORE(words[i], 0);
}

static bool dead(const struct gs_region_slot *slot, uint64_t life, int fd)
{
    if (!(life & GS_REGION_NO_LIFE))
        return life && gs_life_ended(fd, life);
    uint64_t start = life & EMPTIES ? 0 : LOAD(slot->start);
    return LOAD(slot->pid_namespace) == gs_process_namespace()
           && !gs_process_alive((pid_t)(uint32_t)life, start);
}

int gs_region_sweep(struct gs_region *region, uint64_t life)
{
    int kept_errno = errno, swept = 0, fd = gs_shared_file_reopen(region);
    uint32_t count = slots(region);
    for (uint32_t s = 0; s < count; s++) {
        struct gs_region_slot *slot = &region->slot[s];
        uint64_t before = LOAD(slot->life);
        if (before && dead(slot, before, fd) && take(slot, before, owner(life, EMPTIES))) {
            empty(slot);
            swept++;
        }
    }
    if (fd >= 0)
        close(fd);
    errno = kept_errno;
    return swept;
}

/* Before its first charge: a sum that is read after that charge has to include the slot. */
static void include(struct gs_region *region, uint32_t s)
{
    uint32_t high = LOAD(region->slots_high);
    while (high <= s
           && !__atomic_compare_exchange_n(&region->slots_high, &high, s + 1, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static int claim(struct gs_region *region, uint64_t life)
{
    for (uint32_t s = 0; s < GS_REGION_SLOTS; s++)
        if (take(&region->slot[s], 0, life)) {
            include(region, s);
            return (int)s;
        }
    return -1;
}

int gs_region_join(struct gs_region *region, uint64_t life)
{
    int kept_errno = errno;
    gs_region_sweep(region, life); /* so that sums are over few slots */
    int s = claim(region, owner(life, 0));
    if (s >= 0) {
        STORE(region->slot[s].start, gs_process_start(getpid()));
        STORE(region->slot[s].pid_namespace, gs_process_namespace());
        STORE(region->slot[s].pid, getpid());
    }
    errno = kept_errno;
    return s;
}

uint64_t gs_region_used(const struct gs_region *region, int gpu)
{
    uint64_t sum = 0;
    uint32_t count = slots(region);
    for (uint32_t s = 0; s < count; s++)
        sum += LOAD(region->slot[s].charged[gpu]);
    return sum;
}

uint64_t gs_region_cached(const struct gs_region *region, int gpu)
{
    uint64_t sum = 0;
    uint32_t count = slots(region);
    for (uint32_t s = 0; s < count; s++)
        sum += __atomic_load_n(&region->slot[s].cached[gpu], __ATOMIC_RELAXED);
    return sum;
}

enum { ASKED_BITS = 56 };
#define ASKED_MASK ((1ull << ASKED_BITS) - 1)

/* 0: it asks for nothing. */
static uint64_t asked(const struct gs_region_slot *slot, int gpu)
{
    uint64_t word = LOAD(slot->asked);
    return word >> ASKED_BITS == (uint64_t)gpu + 1 ? word & ASKED_MASK : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What all slots have and ask for. */
struct sum {
    uint64_t bytes,
        changes; /* changes: of the others, to see whether `bytes` was true at any time */
    int first_asking;        /* of the others; -1: none */
};

static struct sum read_sum(const struct gs_region *region, int own, int gpu)
{
    struct sum sum = {.first_asking = -1};
    uint32_t count = slots(region);
    for (uint32_t s = 0; s < count; s++) {
        const struct gs_region_slot *slot = &region->slot[s];
        uint64_t changes = LOAD(slot->changes), asks = asked(slot, gpu);
        sum.bytes += larger(LOAD(slot->charged[gpu]), asks);
        if ((int)s == own)
            continue;
        sum.changes += changes;
        if (asks && sum.first_asking < 0)
            sum.first_asking = (int)s;
    }
    return sum;
}

static bool within_limit(const struct gs_region_gpu *gpu, uint64_t bytes)
{
    return bytes <= LOAD(gpu->limit);
}

static void raise_peak(struct gs_region_gpu *gpu, uint64_t bytes)
{
    uint64_t peak = LOAD(gpu->peak);
    while (peak < bytes
           && !__atomic_compare_exchange_n(&gpu->peak, &peak, bytes, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST))
        ;
}

static void ask(struct gs_region_slot *slot, uint64_t word)
{
    STORE(slot->asked, word);
    __atomic_add_fetch(&slot->changes, 1, __ATOMIC_SEQ_CST);
}

static void add(struct gs_region_slot *slot, int gpu, uint64_t bytes)
{
    __atomic_add_fetch(&slot->charged[gpu], bytes, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&slot->changes, 1, __ATOMIC_SEQ_CST);
}

enum verdict { FITS, FULL, LOOK_AGAIN, STEP_BACK };

/*
 * Of several processes that ask and do not all fit, the one with the lowest slot looks again and the
 * others step back, so one of them gets it. A sum beyond the limit counts only if two readings
 * agree.
 */
static enum verdict judge(struct gs_region *region, int own, int gpu, uint64_t until)
{
    struct sum sum = read_sum(region, own, gpu);
    if (within_limit(&region->gpu[gpu], sum.bytes)) {
        raise_peak(&region->gpu[gpu], sum.bytes);
        return FITS;
    }
    struct sum second = read_sum(region, own, gpu);
    bool same = second.bytes == sum.bytes && second.changes == sum.changes;
    if ((same && second.first_asking < 0) || gs_now() > until)
        return FULL;
    return second.first_asking >= 0 && second.first_asking < own ? STEP_BACK : LOOK_AGAIN;
}

static enum verdict attempt(struct gs_region *region, int own, int gpu, uint64_t bytes,
                            uint64_t until)
{
    struct gs_region_slot *slot = &region->slot[own];
    enum verdict verdict;
    ask(slot, ((uint64_t)gpu + 1) << ASKED_BITS | (LOAD(slot->charged[gpu]) + bytes));
    while ((verdict = judge(region, own, gpu, until)) == LOOK_AGAIN)
        sched_yield();
    if (verdict == FITS)
        add(slot, gpu, bytes);
    ask(slot, 0);
    return verdict;
}

static void wait_for_lower(const struct gs_region *region, int own, int gpu, uint64_t until)
{
    for (int first = 0; first >= 0 && first < own && gs_now() <= until;) {
        sched_yield();
        first = read_sum(region, own, gpu).first_asking;
    }
}

/* Invariant 3. */
static bool decide(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    enum verdict verdict;
    if (!within_limit(&region->gpu[gpu], bytes) || bytes > ASKED_MASK / 2)
        return false;
    uint64_t until = gs_now() + GS_REGION_PATIENCE_NS;
    while ((verdict = attempt(region, slot, gpu, bytes, until)) == STEP_BACK)
        wait_for_lower(region, slot, gpu, until);
    return verdict == FITS;
}

static uint64_t own_life(const struct gs_region *region, int slot)
{
    uint64_t life = LOAD(region->slot[slot].life);
    return life & GS_REGION_NO_LIFE ? 0 : life;
}

bool gs_region_reserve(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    if (!decide(region, slot, gpu, bytes)
        && !(gs_region_sweep(region, own_life(region, slot)) && decide(region, slot, gpu, bytes)))
        return false;
    __atomic_add_fetch(&region->gpu[gpu].allocations, 1, __ATOMIC_RELAXED);
    return true;
}

void gs_region_force(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    struct gs_region_gpu *at = &region->gpu[gpu];
    add(&region->slot[slot], gpu, bytes);
    __atomic_add_fetch(&at->allocations, 1, __ATOMIC_RELAXED);
    raise_peak(at, gs_region_used(region, gpu));
}

void gs_region_release(struct gs_region *region, int slot, int gpu, uint64_t bytes)
{
    struct gs_region_slot *own = &region->slot[slot];
    uint64_t charged = LOAD(own->charged[gpu]);
    add(own, gpu, 0 - (bytes < charged ? bytes : charged));
}
