/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/arbiter.h"

#include <string.h>

#include "base/clock.h"
#include "schedule/timing/timeslice.h"
#include "share/lease.h"
#include "share/region.h"

#define US 1000ull
#define MS 1000000ull

enum { OTHERS = GS_SHARE_SLOTS, ACCOUNTS, NONE = -1 };

static const uint64_t ROUND_NS = 40 * MS, SHORTEST_NS = 2 * MS, LOOK_NS = 1 * MS, WISH_NS = 20 * MS;
static const uint64_t PATIENCE_NS = 200 * MS; /* turns go on that long after the last wish for one */
static const uint64_t GRACE_NS = 500 * MS;

/* A share slot with a limit or guarantee, or (the last one) all others together. Amounts are ns of GPU. */
struct account {
    int64_t budget;
    uint64_t virtual;
    uint64_t limited_at;    /* since when the limit is what it is */
    uint32_t limit, weight; /* basis points */
    bool wants, wanted;
};

/* What one arbiter knows of one GPU. */
struct arbiter_state {
    struct account account[ACCOUNTS];
    bool slot_wants[GS_SHARE_SLOTS];
    uint64_t overrun_seen[GS_SHARE_SLOTS];
    int turn;  /* the account whose turn it is */
    bool used; /* and whether it was let use it: nothing else may have kept it out */
    uint64_t used_ns, given_back; /* in this turn */
    uint64_t turn_end, at, needed_at;
    bool holds_lease;
};

static struct arbiter_state states[GS_GPUS];

static bool is_taken(const struct gs_share_slot *slot)
{
    return slot->policy.share[0] && gs_takes_turns(&slot->policy);
}

static int account_of(const struct gs_gpu_page *page, int slot)
{
    return gs_capped(&page->share_slot[slot].policy) ? slot : OTHERS;
}

static bool process_wants(const struct gs_process_slot *process, uint64_t now)
{
    return GS_READ(process->pid) > 0 &&
           (GS_READ(process->busy) || GS_READ(process->draining) || GS_READ(process->want_ns) + WISH_NS > now);
}

static void see_wishes(struct arbiter_state *state, const struct gs_gpu_page *page, uint64_t now)
{
    memset(state->slot_wants, 0, sizeof state->slot_wants);
    for (uint32_t i = 0; i < page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        const struct gs_process_slot *process = &page->process_slot[i];
        if (process->share_slot < GS_SHARE_SLOTS && process_wants(process, now))
            state->slot_wants[process->share_slot] = true;
    }
}

static uint32_t weight_of(const struct gs_share_policy *policy)
{
    uint32_t weight = policy->request ? policy->request : policy->limit;
    return weight ? weight : 1;
}

/* Whether anybody with a limit or guarantee wants a turn. */
static bool see_accounts(struct arbiter_state *state, const struct gs_gpu_page *page, uint64_t now)
{
    uint32_t promised = 0;
    bool needed = false;
    for (int i = 0; i < ACCOUNTS; i++) {
        state->account[i].wanted = state->account[i].wants;
        state->account[i].wants = false;
    }
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        const struct gs_share_policy *policy = &page->share_slot[i].policy;
        if (!is_taken(&page->share_slot[i]) || !state->slot_wants[i])
            continue;
        struct account *account = &state->account[account_of(page, i)];
        account->wants = true;
        if (account == &state->account[OTHERS])
            continue;
        if (account->limit != policy->limit)
            account->limited_at = now;
        account->limit = policy->limit;
        account->weight = weight_of(policy);
        promised += policy->request;
        needed = true;
    }
    state->account[OTHERS].limit = GS_FULL;
    state->account[OTHERS].weight = promised + 500 < GS_FULL ? GS_FULL - promised : 500;
    return needed;
}

static uint64_t lowest(const struct arbiter_state *state)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < ACCOUNTS; i++)
        if (state->account[i].wants && state->account[i].wanted && state->account[i].virtual < least)
            least = state->account[i].virtual;
    return least == UINT64_MAX ? 0 : least;
}

/* Who was away has saved up nothing. */
static void welcome(struct arbiter_state *state)
{
    uint64_t least = lowest(state);
    for (int i = 0; i < ACCOUNTS; i++)
        if (state->account[i].wants && !state->account[i].wanted && state->account[i].virtual < least)
            state->account[i].virtual = least;
}

static int64_t full_budget(const struct account *account)
{
    return (int64_t)(ROUND_NS * account->limit / GS_FULL);
}

static void age(struct account *account, uint64_t ns)
{
    account->virtual += ns * GS_FULL / account->weight;
}

static void spend(struct account *account, uint64_t ns)
{
    account->budget -= (int64_t)ns;
    age(account, ns);
}

/* Never more than half of a turn: who was charged nothing would keep its turn for ever. */
static void refund(struct arbiter_state *state, uint64_t ns)
{
    struct account *account = &state->account[state->turn];
    uint64_t most = state->used_ns / 2 - state->given_back;
    ns = ns < most ? ns : most;
    state->given_back += ns;
    uint64_t aged = ns * GS_FULL / account->weight;
    account->budget += (int64_t)ns;
    account->virtual -= aged < account->virtual ? aged : account->virtual;
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
static void pay_overrun(struct arbiter_state *state, int account, struct overrun over)
{
    bool shared = state->turn != NONE && state->turn != account && state->used;
    uint64_t ns = shared && !over.alone ? over.ns / 2 : over.ns;
    spend(&state->account[account], ns);
    if (shared)
        refund(state, ns);
}

/* Of an account since the last look; of shares that go together, the longest. */
static struct overrun new_overrun(struct arbiter_state *state, const struct gs_gpu_page *page, int account)
{
    struct overrun longest = {0};
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        if (account_of(page, i) != account)
            continue;
        uint64_t seen = GS_READ(page->share_slot[i].overrun_ns), before = state->overrun_seen[i];
        uint64_t ns = seen > before ? seen - before : 0; /* a new share in the slot counts from nothing */
        state->overrun_seen[i] = seen;
        if (ns > longest.ns)
            longest = (struct overrun){ns, gs_timeslice_is_of_turns(&page->share_slot[i])};
    }
    return longest;
}

/* Budgets grow with the time that passed, and pay for what ran on after its turn. */
static void settle_accounts(struct arbiter_state *state, const struct gs_gpu_page *page, uint64_t passed)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        struct account *account = &state->account[i];
        if (!account->weight)
            continue;
        account->budget += (int64_t)(passed * account->limit / GS_FULL);
        if (account->budget > 2 * full_budget(account))
            account->budget = 2 * full_budget(account);
        struct overrun overrun = new_overrun(state, page, i);
        /* What was queued before the limit was is not the limit's: at 10 % its debt would take seconds to pay. */
        if (overrun.ns && state->at - account->limited_at > GRACE_NS)
            pay_overrun(state, i, overrun);
    }
}

/*
 * What high-priority work takes of a turn is not charged to the limit, but it is over all the same: a share that
 * high-priority work keeps out would else be next for ever.
 */
static void charge_turn(struct arbiter_state *state, struct gs_gpu_page *page, uint64_t passed)
{
    state->used = false;
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        struct gs_share_slot *slot = &page->share_slot[i];
        if (!is_taken(slot) || !state->slot_wants[i])
            continue;
        slot->wanted_ns += passed;
        if (__atomic_load_n(&slot->gate, __ATOMIC_RELAXED) == 0 && state->turn == account_of(page, i)) {
            slot->open_ns += passed;
            state->used = true;
        }
    }
    if (state->turn == NONE)
        return;
    (state->used ? spend : age)(&state->account[state->turn], passed);
    state->used_ns += state->used ? passed : 0;
}

static bool limited(const struct account *account)
{
    return account->limit < GS_FULL;
}

static bool may_begin(const struct account *account)
{
    return account->wants && (!limited(account) || account->budget >= full_budget(account) / 2);
}

static int choose(const struct arbiter_state *state)
{
    int best = NONE;
    for (int i = 0; i < ACCOUNTS; i++)
        if (may_begin(&state->account[i]) &&
            (best == NONE || state->account[i].virtual < state->account[best].virtual))
            best = i;
    return best;
}

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Its part of a round, as far as its budget lasts. */
static uint64_t turn_length(const struct arbiter_state *state, int turn)
{
    uint64_t sum = 0;
    const struct account *account = &state->account[turn];
    for (int i = 0; i < ACCOUNTS; i++)
        sum += state->account[i].wants ? state->account[i].weight : 0;
    uint64_t part = within(ROUND_NS * account->weight / (sum ? sum : 1), SHORTEST_NS, ROUND_NS);
    if (!limited(account))
        return part;
    /* While the turn lasts the budget also grows. */
    uint64_t affords = account->budget > 0 ? (uint64_t)account->budget * GS_FULL / (GS_FULL - account->limit) : 0;
    return affords < part ? affords : part;
}

static bool goes_on(const struct arbiter_state *state, uint64_t now)
{
    const struct account *account = state->turn == NONE ? NULL : &state->account[state->turn];
    return account && account->wants && now < state->turn_end && (!limited(account) || account->budget > 0);
}

static void set_turn(struct gs_share_slot *slot, bool open, uint64_t now)
{
    bool is_open = !(__atomic_load_n(&slot->gate, __ATOMIC_RELAXED) & GS_CLOSED_TURN);
    if (open == is_open)
        return;
    if (open) {
        slot->turns++;
        __atomic_store_n(&slot->opened_at, now, __ATOMIC_SEQ_CST);
        gs_share_slot_open(slot, GS_CLOSED_TURN);
    } else {
        gs_share_slot_close(slot, GS_CLOSED_TURN);
        __atomic_store_n(&slot->closed_at, now, __ATOMIC_SEQ_CST);
    }
}

static bool drains(const struct gs_gpu_page *page, int slot)
{
    for (uint32_t i = 0; i < page->process_slots_high && i < GS_PROCESS_SLOTS; i++)
        if (GS_READ(page->process_slot[i].pid) > 0 && page->process_slot[i].share_slot == (uint32_t)slot &&
            GS_READ(page->process_slot[i].draining))
            return true;
    return false;
}

/* Those whose turn is over first: there is never a moment with two turns. */
static void show_turn(const struct arbiter_state *state, struct gs_gpu_page *page, uint64_t now)
{
    for (int open = 0; open < 2; open++)
        for (int i = 0; i < GS_SHARE_SLOTS; i++) {
            /*
             * Who takes no turns (any more), or does not want the GPU, is left alone: work that it may have queued
             * without our seeing is not held up.
             */
            bool its_turn = !is_taken(&page->share_slot[i]) || account_of(page, i) == state->turn ||
                            !state->slot_wants[i] || drains(page, i);
            if (its_turn == open)
                set_turn(&page->share_slot[i], open, now);
        }
}

static void begin(struct arbiter_state *state, struct gs_gpu_page *page, uint64_t now)
{
    memset(state, 0, sizeof *state);
    state->holds_lease = true;
    state->turn = NONE;
    state->at = state->needed_at = now;
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        state->overrun_seen[i] = GS_READ(page->share_slot[i].overrun_ns);
    __atomic_store_n(&page->turns, 1, __ATOMIC_SEQ_CST);
}

/* Nobody needs turns: everybody may run. */
static uint64_t dissolve(struct arbiter_state *state, struct gs_attachment *attachment)
{
    __atomic_store_n(&attachment->page->turns, 0, __ATOMIC_SEQ_CST);
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        set_turn(&attachment->page->share_slot[i], true, gs_now());
    state->holds_lease = false;
    gs_lease_drop(attachment->page, attachment->slot_number);
    return UINT64_MAX;
}

/* The moment at which somebody who wants a turn can afford one. */
static uint64_t next_budget(const struct arbiter_state *state, uint64_t now)
{
    uint64_t next = now + ROUND_NS;
    for (int i = 0; i < ACCOUNTS; i++) {
        const struct account *account = &state->account[i];
        int64_t missing = full_budget(account) / 2 - account->budget;
        if (!account->wants || !account->limit)
            continue;
        uint64_t at = now + (missing > 0 ? (uint64_t)missing * GS_FULL / account->limit : 0);
        next = at < next ? at : next;
    }
    return next;
}

static uint64_t arbitrate(struct arbiter_state *state, struct gs_attachment *attachment, uint64_t now)
{
    struct gs_gpu_page *page = attachment->page;
    uint64_t passed = now - state->at < ROUND_NS ? now - state->at : ROUND_NS;
    state->at = now;
    page->passes++;
    charge_turn(state, page, passed);
    see_wishes(state, page, now);
    if (see_accounts(state, page, now))
        state->needed_at = now;
    else if (now - state->needed_at > PATIENCE_NS)
        return dissolve(state, attachment);
    settle_accounts(state, page, passed);
    welcome(state);
    if (!goes_on(state, now)) {
        state->turn = choose(state);
        state->used_ns = state->given_back = 0;
        state->turn_end = now + (state->turn == NONE ? 0 : turn_length(state, state->turn));
    }
    show_turn(state, page, now);
    uint64_t next = state->turn == NONE ? next_budget(state, now) : state->turn_end;
    return next < now + LOOK_NS ? within(next, now + 50 * US, UINT64_MAX) : now + LOOK_NS;
}

static bool wants_turns(const struct gs_attachment *attachment, uint64_t now)
{
    return __atomic_load_n(&attachment->page->turns, __ATOMIC_RELAXED) ||
           (gs_capped(&attachment->share->policy) && gs_takes_turns(&attachment->share->policy) &&
            process_wants(attachment->process, now));
}

uint64_t gs_arbiter_tick(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    struct arbiter_state *state = &states[gpu];
    if (!state->holds_lease && !wants_turns(attachment, now))
        return UINT64_MAX;
    if (!gs_lease_take(attachment->page, attachment->slot_number, now)) {
        state->holds_lease = false;
        return now + GS_LEASE_NS / 2;
    }
    if (!state->holds_lease)
        begin(state, attachment->page, now);
    return arbitrate(state, attachment, now);
}

void gs_arbiter_forget(void)
{
    memset(states, 0, sizeof states);
}
