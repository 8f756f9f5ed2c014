/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/arbiter.h"

#include <string.h>

#include "base/clock.h"
#include "schedule/timing/timeslice.h"
#include "share/lease.h"
#include "share/region.h"

#define US 1000ull
#define MS 1000000ull

enum { OTHERS = GS_SEATS, PARTIES, NOBODY = -1 };

static const uint64_t ROUND_NS = 40 * MS, SHORTEST_NS = 2 * MS, LOOK_NS = 1 * MS, WISH_NS = 20 * MS;
static const uint64_t PATIENCE_NS = 200 * MS; /* turns go on that long after the last wish for one */
static const uint64_t GRACE_NS = 500 * MS;

/* A seat with a limit or guarantee, or (the last one) all others together. Amounts are ns of GPU. */
struct party {
    int64_t budget;
    uint64_t virtual;
    uint64_t limited_at;    /* since when the limit is what it is */
    uint32_t limit, weight; /* basis points */
    bool wants, wanted;
};

/* What one conductor knows of one GPU. */
struct stand {
    struct party party[PARTIES];
    bool seat_wants[GS_SEATS];
    uint64_t overrun_seen[GS_SEATS];
    int turn;  /* the party whose turn it is */
    bool used; /* and whether it was let use it: nothing else may have kept it out */
    uint64_t used_ns, given_back; /* in this turn */
    uint64_t turn_end, at, needed_at;
    bool conducts;
};

static struct stand stands[GS_GPUS];

static bool is_taken(const struct gs_seat *seat)
{
    return seat->policy.share[0] && gs_takes_turns(&seat->policy);
}

static int party_of(const struct gs_board *board, int seat)
{
    return gs_capped(&board->seat[seat].policy) ? seat : OTHERS;
}

static bool rider_wants(const struct gs_rider *rider, uint64_t now)
{
    return GS_READ(rider->pid) > 0 &&
           (GS_READ(rider->busy) || GS_READ(rider->draining) || GS_READ(rider->want_ns) + WISH_NS > now);
}

static void see_wishes(struct stand *stand, const struct gs_board *board, uint64_t now)
{
    memset(stand->seat_wants, 0, sizeof stand->seat_wants);
    for (uint32_t i = 0; i < board->riders_high && i < GS_RIDERS; i++) {
        const struct gs_rider *rider = &board->rider[i];
        if (rider->seat < GS_SEATS && rider_wants(rider, now))
            stand->seat_wants[rider->seat] = true;
    }
}

static uint32_t weight_of(const struct gs_seat_policy *policy)
{
    uint32_t weight = policy->request ? policy->request : policy->limit;
    return weight ? weight : 1;
}

/* Whether anybody with a limit or guarantee wants a turn. */
static bool see_parties(struct stand *stand, const struct gs_board *board, uint64_t now)
{
    uint32_t promised = 0;
    bool needed = false;
    for (int i = 0; i < PARTIES; i++) {
        stand->party[i].wanted = stand->party[i].wants;
        stand->party[i].wants = false;
    }
    for (int i = 0; i < GS_SEATS; i++) {
        const struct gs_seat_policy *policy = &board->seat[i].policy;
        if (!is_taken(&board->seat[i]) || !stand->seat_wants[i])
            continue;
        struct party *party = &stand->party[party_of(board, i)];
        party->wants = true;
        if (party == &stand->party[OTHERS])
            continue;
        if (party->limit != policy->limit)
            party->limited_at = now;
        party->limit = policy->limit;
        party->weight = weight_of(policy);
        promised += policy->request;
        needed = true;
    }
    stand->party[OTHERS].limit = GS_FULL;
    stand->party[OTHERS].weight = promised + 500 < GS_FULL ? GS_FULL - promised : 500;
    return needed;
}

static uint64_t lowest(const struct stand *stand)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < PARTIES; i++)
        if (stand->party[i].wants && stand->party[i].wanted && stand->party[i].virtual < least)
            least = stand->party[i].virtual;
    return least == UINT64_MAX ? 0 : least;
}

/* Who was away has saved up nothing. */
static void welcome(struct stand *stand)
{
    uint64_t least = lowest(stand);
    for (int i = 0; i < PARTIES; i++)
        if (stand->party[i].wants && !stand->party[i].wanted && stand->party[i].virtual < least)
            stand->party[i].virtual = least;
}

static int64_t full_budget(const struct party *party)
{
    return (int64_t)(ROUND_NS * party->limit / GS_FULL);
}

static void age(struct party *party, uint64_t ns)
{
    party->virtual += ns * GS_FULL / party->weight;
}

static void spend(struct party *party, uint64_t ns)
{
    party->budget -= (int64_t)ns;
    age(party, ns);
}

/* Never more than half of a turn: who was charged nothing would keep its turn for ever. */
static void refund(struct stand *stand, uint64_t ns)
{
    struct party *party = &stand->party[stand->turn];
    uint64_t most = stand->used_ns / 2 - stand->given_back;
    ns = ns < most ? ns : most;
    stand->given_back += ns;
    uint64_t aged = ns * GS_FULL / party->weight;
    party->budget += (int64_t)ns;
    party->virtual -= aged < party->virtual ? aged : party->virtual;
}

/* Work that ran on after its turn; `alone`: contexts take turns, so nobody else had the GPU meanwhile. */
struct overrun {
    uint64_t ns;
    bool alone;
};

/*
 * Work that ran on into another's turn, beside that one's, had half of the GPU, and took twice as long for it. The
 * other half is all that the other one had of its own turn: if it were charged for more, the GPU would idle for as
 * long in the end.
 */
static void pay_overrun(struct stand *stand, int party, struct overrun over)
{
    bool shared = stand->turn != NOBODY && stand->turn != party && stand->used;
    uint64_t ns = shared && !over.alone ? over.ns / 2 : over.ns;
    spend(&stand->party[party], ns);
    if (shared)
        refund(stand, ns);
}

/* Of a party since the last look; of shares that go together, the longest. */
static struct overrun new_overrun(struct stand *stand, const struct gs_board *board, int party)
{
    struct overrun longest = {0};
    for (int i = 0; i < GS_SEATS; i++) {
        if (party_of(board, i) != party)
            continue;
        uint64_t seen = GS_READ(board->seat[i].overrun_ns), before = stand->overrun_seen[i];
        uint64_t ns = seen > before ? seen - before : 0; /* a new share in the seat counts from nothing */
        stand->overrun_seen[i] = seen;
        if (ns > longest.ns)
            longest = (struct overrun){ns, gs_slice_is_of_turns(&board->seat[i])};
    }
    return longest;
}

/* Budgets grow with the time that passed, and pay for what ran on after its turn. */
static void keep_books(struct stand *stand, const struct gs_board *board, uint64_t passed)
{
    for (int i = 0; i < PARTIES; i++) {
        struct party *party = &stand->party[i];
        if (!party->weight)
            continue;
        party->budget += (int64_t)(passed * party->limit / GS_FULL);
        if (party->budget > 2 * full_budget(party))
            party->budget = 2 * full_budget(party);
        struct overrun overrun = new_overrun(stand, board, i);
        /* What was queued before the limit was is not the limit's: at 10 % its debt would take seconds to pay. */
        if (overrun.ns && stand->at - party->limited_at > GRACE_NS)
            pay_overrun(stand, i, overrun);
    }
}

/*
 * What urgent work takes of a turn is not charged to the limit, but it is over all the same: a share that urgent work
 * keeps out would else be next for ever.
 */
static void charge(struct stand *stand, struct gs_board *board, uint64_t passed)
{
    stand->used = false;
    for (int i = 0; i < GS_SEATS; i++) {
        struct gs_seat *seat = &board->seat[i];
        if (!is_taken(seat) || !stand->seat_wants[i])
            continue;
        seat->wanted_ns += passed;
        if (__atomic_load_n(&seat->word, __ATOMIC_RELAXED) == 0 && stand->turn == party_of(board, i)) {
            seat->open_ns += passed;
            stand->used = true;
        }
    }
    if (stand->turn == NOBODY)
        return;
    (stand->used ? spend : age)(&stand->party[stand->turn], passed);
    stand->used_ns += stand->used ? passed : 0;
}

static bool limited(const struct party *party)
{
    return party->limit < GS_FULL;
}

static bool may_begin(const struct party *party)
{
    return party->wants && (!limited(party) || party->budget >= full_budget(party) / 2);
}

static int choose(const struct stand *stand)
{
    int best = NOBODY;
    for (int i = 0; i < PARTIES; i++)
        if (may_begin(&stand->party[i]) &&
            (best == NOBODY || stand->party[i].virtual < stand->party[best].virtual))
            best = i;
    return best;
}

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Its part of a round, as far as its budget lasts. */
static uint64_t turn_length(const struct stand *stand, int turn)
{
    uint64_t sum = 0;
    const struct party *party = &stand->party[turn];
    for (int i = 0; i < PARTIES; i++)
        sum += stand->party[i].wants ? stand->party[i].weight : 0;
    uint64_t part = within(ROUND_NS * party->weight / (sum ? sum : 1), SHORTEST_NS, ROUND_NS);
    if (!limited(party))
        return part;
    /* While the turn lasts the budget also grows. */
    uint64_t affords = party->budget > 0 ? (uint64_t)party->budget * GS_FULL / (GS_FULL - party->limit) : 0;
    return affords < part ? affords : part;
}

static bool goes_on(const struct stand *stand, uint64_t now)
{
    const struct party *party = stand->turn == NOBODY ? NULL : &stand->party[stand->turn];
    return party && party->wants && now < stand->turn_end && (!limited(party) || party->budget > 0);
}

static void set_turn(struct gs_seat *seat, bool open, uint64_t now)
{
    bool is_open = !(__atomic_load_n(&seat->word, __ATOMIC_RELAXED) & GS_SHUT_TURN);
    if (open == is_open)
        return;
    if (open) {
        seat->turns++;
        __atomic_store_n(&seat->opened_at, now, __ATOMIC_SEQ_CST);
        gs_seat_open(seat, GS_SHUT_TURN);
    } else {
        gs_seat_shut(seat, GS_SHUT_TURN);
        __atomic_store_n(&seat->shut_at, now, __ATOMIC_SEQ_CST);
    }
}

static bool drains(const struct gs_board *board, int seat)
{
    for (uint32_t i = 0; i < board->riders_high && i < GS_RIDERS; i++)
        if (GS_READ(board->rider[i].pid) > 0 && board->rider[i].seat == (uint32_t)seat &&
            GS_READ(board->rider[i].draining))
            return true;
    return false;
}

/* Those whose turn is over first: there is never a moment with two turns. */
static void show_turn(const struct stand *stand, struct gs_board *board, uint64_t now)
{
    for (int open = 0; open < 2; open++)
        for (int i = 0; i < GS_SEATS; i++) {
            /*
             * Who takes no turns (any more), or does not want the GPU, is left alone: work that it may have queued
             * without our seeing is not held up.
             */
            bool its_turn = !is_taken(&board->seat[i]) || party_of(board, i) == stand->turn ||
                            !stand->seat_wants[i] || drains(board, i);
            if (its_turn == open)
                set_turn(&board->seat[i], open, now);
        }
}

static void begin(struct stand *stand, struct gs_board *board, uint64_t now)
{
    memset(stand, 0, sizeof *stand);
    stand->conducts = true;
    stand->turn = NOBODY;
    stand->at = stand->needed_at = now;
    for (int i = 0; i < GS_SEATS; i++)
        stand->overrun_seen[i] = GS_READ(board->seat[i].overrun_ns);
    __atomic_store_n(&board->turns, 1, __ATOMIC_SEQ_CST);
}

/* Nobody needs turns: everybody may run. */
static uint64_t dissolve(struct stand *stand, struct gs_ride *ride)
{
    __atomic_store_n(&ride->board->turns, 0, __ATOMIC_SEQ_CST);
    for (int i = 0; i < GS_SEATS; i++)
        set_turn(&ride->board->seat[i], true, gs_now());
    stand->conducts = false;
    gs_lease_drop(ride->board, ride->place);
    return UINT64_MAX;
}

/* The moment at which somebody who wants a turn can afford one. */
static uint64_t next_budget(const struct stand *stand, uint64_t now)
{
    uint64_t next = now + ROUND_NS;
    for (int i = 0; i < PARTIES; i++) {
        const struct party *party = &stand->party[i];
        int64_t missing = full_budget(party) / 2 - party->budget;
        if (!party->wants || !party->limit)
            continue;
        uint64_t at = now + (missing > 0 ? (uint64_t)missing * GS_FULL / party->limit : 0);
        next = at < next ? at : next;
    }
    return next;
}

static uint64_t conduct(struct stand *stand, struct gs_ride *ride, uint64_t now)
{
    struct gs_board *board = ride->board;
    uint64_t passed = now - stand->at < ROUND_NS ? now - stand->at : ROUND_NS;
    stand->at = now;
    board->passes++;
    charge(stand, board, passed);
    see_wishes(stand, board, now);
    if (see_parties(stand, board, now))
        stand->needed_at = now;
    else if (now - stand->needed_at > PATIENCE_NS)
        return dissolve(stand, ride);
    keep_books(stand, board, passed);
    welcome(stand);
    if (!goes_on(stand, now)) {
        stand->turn = choose(stand);
        stand->used_ns = stand->given_back = 0;
        stand->turn_end = now + (stand->turn == NOBODY ? 0 : turn_length(stand, stand->turn));
    }
    show_turn(stand, board, now);
    uint64_t next = stand->turn == NOBODY ? next_budget(stand, now) : stand->turn_end;
    return next < now + LOOK_NS ? within(next, now + 50 * US, UINT64_MAX) : now + LOOK_NS;
}

static bool wants_turns(const struct gs_ride *ride, uint64_t now)
{
    return __atomic_load_n(&ride->board->turns, __ATOMIC_RELAXED) ||
           (gs_capped(&ride->seat->policy) && gs_takes_turns(&ride->seat->policy) && rider_wants(ride->rider, now));
}

uint64_t gs_conductor_tick(struct gs_ride *ride, int gpu, uint64_t now)
{
    struct stand *stand = &stands[gpu];
    if (!stand->conducts && !wants_turns(ride, now))
        return UINT64_MAX;
    if (!gs_lease_take(ride->board, ride->place, now)) {
        stand->conducts = false;
        return now + GS_LEASE_NS / 2;
    }
    if (!stand->conducts)
        begin(stand, ride->board, now);
    return conduct(stand, ride, now);
}

void gs_conductor_forget(void)
{
    memset(stands, 0, sizeof stands);
}
