/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/starvation.h"

#include <time.h>

#include "base/clock.h"
#include "schedule/timing/timeslice.h"
#include "share/region.h"

#define MS 1000000ull
#define LOOK_NS (2 * MS)
#define SILENT_NS (50 * MS)  /* a keeper that lives gives a sign every millisecond while it is raised */
#define WINDOW_NS (100 * MS)

/* By this process' keeper: whether its seat was seen open in the window, and what it had queued at the last look. */
struct watch {
    uint64_t window;
    bool seen_open;
    uint64_t fences;
};

static struct watch watches[GS_GPUS];

static const struct gs_rider *owner(const struct gs_board *board, uint32_t bit)
{
    for (uint32_t i = 0; i < board->riders_high && i < GS_RIDERS; i++) {
        const struct gs_rider *rider = &board->rider[i];
        uint32_t urgent = GS_READ(rider->urgent);
        if (GS_READ(rider->pid) > 0 && urgent && 1u << (urgent - 1) == bit)
            return rider;
    }
    return NULL;
}

static bool silent(const struct gs_rider *rider, uint64_t now)
{
    uint64_t beat = rider ? __atomic_load_n(&rider->beat_ns, __ATOMIC_RELAXED) : 0;
    return !rider || (now > beat && now - beat > SILENT_NS);
}

static bool holds(const struct gs_rider *rider, uint64_t now)
{
    return rider && __atomic_load_n(&rider->until_ns, __ATOMIC_SEQ_CST) > now && !silent(rider, now);
}

/* A program that was stopped or killed while its work was raised shuts nobody out. */
static void overrule_silent(struct gs_ride *ride, uint32_t word, uint64_t now)
{
    for (uint32_t left = word & GS_SHUT_URGENT; left; left &= left - 1) {
        uint32_t bit = left & -left;
        if (!silent(owner(ride->board, bit), now))
            continue;
        gs_board_sweep(ride->board);
        gs_seat_open(ride->seat, bit);
        ride->seat->stuck++;
    }
}

/* Whoever fell silent or fell at all meanwhile is not shut out again: the second look is for the latter. */
static void shut_again(struct gs_ride *ride, uint32_t bits)
{
    for (; bits; bits &= bits - 1) {
        uint32_t bit = bits & -bits;
        const struct gs_rider *rider = owner(ride->board, bit);
        if (!holds(rider, gs_now()))
            continue;
        gs_seat_shut(ride->seat, bit);
        if (!holds(rider, gs_now()))
            gs_seat_open(ride->seat, bit);
    }
}

static void run_beside(struct gs_ride *ride, uint32_t word)
{
    uint64_t part = WINDOW_NS * ride->seat->policy.floor / GS_FULL;
    /* Where contexts take turns, it has to wait for one; and a short one would be less than its part. */
    uint64_t open = part + gs_slice_of_urgent(ride);
    struct timespec nap = {0, (long)(open < WINDOW_NS / 2 ? open : WINDOW_NS / 2)};
    if (part == 0)
        return;
    gs_slice_usual(ride);
    gs_seat_open(ride->seat, word & GS_SHUT_URGENT);
    nanosleep(&nap, NULL);
    gs_slice_again(ride);
    shut_again(ride, word & GS_SHUT_URGENT);
    ride->seat->floors++;
}

/* Once in a window, by one of the seat's keepers: who was shut the whole time before gets its least part now. */
static void guarantee(struct gs_ride *ride, struct watch *watch, uint32_t word, uint64_t now)
{
    uint64_t window = now / WINDOW_NS, before = __atomic_load_n(&ride->seat->floor_window, __ATOMIC_RELAXED);
    if (watch->window == window)
        return;
    bool starved = !watch->seen_open && watch->window + 1 == window;
    watch->window = window;
    watch->seen_open = false;
    if (starved && before < window &&
        __atomic_compare_exchange_n(&ride->seat->floor_window, &before, window, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
        run_beside(ride, word);
}

uint64_t gs_floor_tick(struct gs_ride *ride, int gpu, uint64_t now)
{
    struct watch *watch = &watches[gpu];
    uint32_t word = __atomic_load_n(&ride->seat->word, __ATOMIC_SEQ_CST);
    uint64_t fences = GS_READ(ride->fences);
    bool active = watch->fences != fences;
    watch->fences = fences;
    watch->seen_open |= !(word & GS_SHUT_URGENT);
    if (GS_READ(ride->rider->draining)) { /* to make room is worth more to others than a moment's quiet */
        gs_seat_open(ride->seat, word & GS_SHUT_URGENT);
        return now + LOOK_NS / 4;
    }
    if (word & GS_SHUT_URGENT) {
        overrule_silent(ride, word, now);
        guarantee(ride, watch, word, now);
        return now + LOOK_NS;
    }
    guarantee(ride, watch, 0, now);
    return active ? now + LOOK_NS : UINT64_MAX;
}
