/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/timeslice.h"

#include "base/clock.h"
#include "schedule/timing/channel_group.h"

#define US 1000ull
#define MS 1000000ull
#define LOOK_NS (10 * MS)
#define ACTIVE_NS (20 * MS)
#define TURN_US 20000
#define CROWDED_US 1000 /* between several jobs: to change over takes 160 µs (H200), which short slices would lose */

static void set(struct gs_ride *ride, uint32_t us)
{
    gs_groups_slice(ride->gpu, us);
    uint32_t now = gs_groups_sliced(ride->gpu);
    if (GS_READ(ride->sliced) == now)
        return;
    GS_WRITE(ride->sliced, now);
    GS_WRITE(ride->seat->slice_us, now);
}

void gs_slice_usual(struct gs_ride *ride)
{
    if (__builtin_expect(GS_READ(ride->sliced) != 0, 0))
        set(ride, 0);
}

bool gs_slice_is_of_turns(const struct gs_seat *seat)
{
    return GS_READ(seat->slice_us) == TURN_US;
}

static bool is_active(const struct gs_rider *rider, uint64_t now)
{
    return GS_READ(rider->pid) > 0 && (GS_READ(rider->busy) || GS_READ(rider->want_ns) + ACTIVE_NS > now);
}

/* Whether the seat's programs may run when ours do. */
typedef bool company(const struct gs_seat *ours, const struct gs_seat *theirs);

static bool beside(const struct gs_seat *ours, const struct gs_seat *theirs)
{
    (void)ours;
    return theirs->policy.rank != GS_HIGH && !(GS_READ(theirs->word) & GS_SHUT_TURN);
}

static bool in_one_turn(const struct gs_seat *ours, const struct gs_seat *theirs)
{
    return ours == theirs || (!gs_capped(&ours->policy) && !gs_capped(&theirs->policy));
}

static bool has_company(const struct gs_ride *ride, company *is_company, uint64_t now)
{
    for (uint32_t i = 0; i < ride->board->riders_high && i < GS_RIDERS; i++) {
        const struct gs_rider *rider = &ride->board->rider[i];
        if (rider != ride->rider && rider->seat < GS_SEATS && is_active(rider, now) &&
            is_company(ride->seat, &ride->board->seat[rider->seat]))
            return true;
    }
    return false;
}

/* Now and then is often enough to look who is there. */
static bool is_time(struct gs_ride *ride, uint64_t now)
{
    if (now - GS_READ(ride->sliced_at) < LOOK_NS)
        return false;
    GS_WRITE(ride->sliced_at, now);
    return true;
}

/* Whether all others are jobs; programs that do not make way are not to lose by a long slice, nor other urgent ones. */
static bool is_among_jobs(const struct gs_ride *ride)
{
    bool jobs = false;
    for (uint32_t i = 0; i < ride->board->riders_high && i < GS_RIDERS; i++) {
        const struct gs_rider *rider = &ride->board->rider[i];
        if (rider == ride->rider || GS_READ(rider->pid) <= 0 || rider->seat >= GS_SEATS)
            continue;
        if (ride->board->seat[rider->seat].policy.rank != GS_LOW)
            return false;
        jobs = true;
    }
    return jobs;
}

void gs_slice_urgent(struct gs_ride *ride)
{
    if (is_time(ride, gs_now()))
        set(ride, is_among_jobs(ride) ? ride->seat->policy.slice_us : 0);
}

void gs_slice_in_turns(struct gs_ride *ride)
{
    uint64_t now = gs_now();
    if (!is_time(ride, now))
        return;
    bool urgent = __atomic_load_n(&ride->board->urgent, __ATOMIC_RELAXED);
    set(ride, urgent || has_company(ride, in_one_turn, now) ? 0 : TURN_US);
}

void gs_slice_again(struct gs_ride *ride)
{
    uint32_t us = ride->seat->policy.slice_us;
    set(ride, us && us < CROWDED_US && has_company(ride, beside, gs_now()) ? CROWDED_US : us);
}

void gs_slice_beside_urgent(struct gs_ride *ride)
{
    uint64_t now = gs_now();
    GS_WRITE(ride->rider->want_ns, now);
    if (is_time(ride, now))
        gs_slice_again(ride);
}

uint64_t gs_slice_of_urgent(const struct gs_ride *ride)
{
    uint64_t longest = 0;
    for (int i = 0; i < GS_SEATS && GS_READ(ride->sliced); i++) {
        const struct gs_seat *seat = &ride->board->seat[i];
        uint64_t us = seat->policy.share[0] && seat->policy.rank == GS_HIGH ? GS_READ(seat->slice_us) : 0;
        longest = us > longest ? us : longest;
    }
    return longest * US;
}
