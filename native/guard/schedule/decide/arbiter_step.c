/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/arbiter_step.h"

#include <stddef.h>

#define US 1000ull
#define MS 1000000ull

static const uint64_t ROUND_NS = 40 * MS, SHORTEST_NS = 2 * MS, LOOK_NS = 1 * MS, WISH_NS = 20 * MS;
static const uint64_t PATIENCE_NS =
    200 * MS; /* turns continue that long after the last wish for one */
static const uint64_t GRACE_NS = 500 * MS;

bool gs_process_wants(bool busy, bool draining, uint64_t want_ns, uint64_t now)
{
    return busy || draining || want_ns + WISH_NS > now;
}

static int account_of(const struct gs_arbiter_wishes *wishes, int slot)
{
    return wishes->slot[slot].capped ? slot : GS_OTHERS;
}

static uint32_t weight_of(const struct gs_slot_wish *wish)
{
    uint32_t weight = wish->request ? wish->request : wish->limit;
    return weight ? weight : 1;
}

static void forget_wishes(struct gs_arbiter_state *state)
{
    for (int i = 0; i < GS_ACCOUNTS; i++) {
        state->account[i].wanted = state->account[i].wants;
        state->account[i].wants = false;
    }
}

static void set_terms(struct gs_account *account, const struct gs_slot_wish *wish, uint64_t now)
{
    if (account->limit != wish->limit)
        account->limited_at = now;
    account->limit = wish->limit;
    account->weight = weight_of(wish);
}

/* Whether a share with a limit or guarantee wants a turn. */
static bool see_accounts(struct gs_arbiter_state *state, const struct gs_arbiter_wishes *wishes,
                         uint64_t now)
{
    uint32_t promised = 0;
    bool needed = false;
    forget_wishes(state);
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        const struct gs_slot_wish *wish = &wishes->slot[i];
        state->slot_wants[i] = wish->wants;
        if (!wish->takes_turns || !wish->wants)
            continue;
        struct gs_account *account = &state->account[account_of(wishes, i)];
        account->wants = true;
        if (account == &state->account[GS_OTHERS])
            continue;
        set_terms(account, wish, now);
        promised += wish->request;
        needed = true;
    }
    state->account[GS_OTHERS].limit = GS_FULL;
    state->account[GS_OTHERS].weight = promised + 500 < GS_FULL ? GS_FULL - promised : 500;
    return needed;
}

static uint64_t lowest(const struct gs_arbiter_state *state)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < GS_ACCOUNTS; i++)
        if (state->account[i].wants && state->account[i].wanted
            && state->account[i].virtual < least)
            least = state->account[i].virtual;
    return least == UINT64_MAX ? 0 : least;
}

/* A returning share gets no credit for time in which it was idle. */
static void welcome(struct gs_arbiter_state *state)
{
    uint64_t least = lowest(state);
    for (int i = 0; i < GS_ACCOUNTS; i++)
        if (state->account[i].wants && !state->account[i].wanted
            && state->account[i].virtual < least)
            state->account[i].virtual = least;
}

static int64_t full_budget(const struct gs_account *account)
{
    return (int64_t)(ROUND_NS * account->limit / GS_FULL);
}

static void age(struct gs_account *account, uint64_t ns)
{
    account->virtual += ns * GS_FULL / account->weight;
}

static void spend(struct gs_account *account, uint64_t ns)
{
    account->budget -= (int64_t)ns;
    age(account, ns);
}

/* At most half of a turn: a share that is charged nothing would keep its turn without end. */
static void refund(struct gs_arbiter_state *state, uint64_t ns)
{
    struct gs_account *account = &state->account[state->turn];
    uint64_t most = state->used_ns / 2 - state->given_back;
    ns = ns < most ? ns : most;
    state->given_back += ns;
    uint64_t aged = ns * GS_FULL / account->weight;
    account->budget += (int64_t)ns;
    account->virtual -= aged < account->virtual ? aged : account->virtual;
}

/* Work that ran on after its turn; `alone`: contexts take turns, so no other work ran meanwhile. */
struct overrun {
    uint64_t ns;
    bool alone;
};

/*
 * Work that ran on into another share's turn, together with that one's work, had half of the GPU,
 * and took twice as long for it. The other half is all that the other share had of its own turn: if
 * it were charged for more, the GPU would idle for as long in the end.
 */
static void pay_overrun(struct gs_arbiter_state *state, int account, struct overrun over)
{
    bool shared = state->turn != GS_NO_TURN && state->turn != account && state->used;
    uint64_t ns = shared && !over.alone ? over.ns / 2 : over.ns;
    spend(&state->account[account], ns);
    if (shared)
        refund(state, ns);
}

/* Of an account since the last step; of shares that go together, the longest. */
static struct overrun new_overrun(struct gs_arbiter_state *state,
                                  const struct gs_arbiter_wishes *wishes, int account)
{
    struct overrun longest = {0};
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        if (account_of(wishes, i) != account)
            continue;
        uint64_t seen = wishes->slot[i].overrun_ns, before = state->overrun_seen[i];
        uint64_t ns =
            seen > before ? seen - before : 0; /* a new share in the slot counts from nothing */
        state->overrun_seen[i] = seen;
        if (ns > longest.ns)
            longest = (struct overrun){ns, wishes->slot[i].runs_alone};
    }
    return longest;
}

/* Budgets grow with the time that passed, and pay for work that ran on after its turn. */
static void settle_accounts(struct gs_arbiter_state *state, const struct gs_arbiter_wishes *wishes,
                            uint64_t passed)
{
    for (int i = 0; i < GS_ACCOUNTS; i++) {
        struct gs_account *account = &state->account[i];
        if (!account->weight)
            continue;
        account->budget += (int64_t)(passed * account->limit / GS_FULL);
        if (account->budget > 2 * full_budget(account))
            account->budget = 2 * full_budget(account);
        struct overrun overrun = new_overrun(state, wishes, i);
        /*
         * Work queued before the limit existed is not charged to it: at 10 % its debt would take
         * seconds to pay.
         */
        if (overrun.ns && state->at - account->limited_at > GRACE_NS)
            pay_overrun(state, i, overrun);
    }
}

/*
 * Whether the account whose turn it was could use it since the last step; counts the time of each
 * slot.
 */
static bool was_used(struct gs_arbiter_decision *decision, const struct gs_arbiter_wishes *wishes,
                     uint64_t passed)
{
    bool used = false;
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        if (!wishes->slot[i].takes_turns || !decision->next.slot_wants[i])
            continue;
        bool open = wishes->slot[i].open && decision->next.turn == account_of(wishes, i);
        decision->slot[i].wanted_ns = passed;
        decision->slot[i].open_ns = open ? passed : 0;
        used |= open;
    }
    return used;
}

/*
 * Time that high-priority work takes out of a turn is not charged to the limit, but the turn ends
 * nevertheless: a share that high-priority work keeps out would otherwise be next without end.
 */
static void charge_turn(struct gs_arbiter_decision *decision,
                        const struct gs_arbiter_wishes *wishes, uint64_t passed)
{
    struct gs_arbiter_state *state = &decision->next;
    state->used = was_used(decision, wishes, passed);
    if (state->turn == GS_NO_TURN)
        return;
    (state->used ? spend : age)(&state->account[state->turn], passed);
    state->used_ns += state->used ? passed : 0;
}

static bool limited(const struct gs_account *account)
{
    return account->limit < GS_FULL;
}

static bool may_begin(const struct gs_account *account)
{
    return account->wants && (!limited(account) || account->budget >= full_budget(account) / 2);
}

static int choose(const struct gs_arbiter_state *state)
{
    int best = GS_NO_TURN;
    for (int i = 0; i < GS_ACCOUNTS; i++)
        if (may_begin(&state->account[i])
            && (best == GS_NO_TURN || state->account[i].virtual < state->account[best].virtual))
            best = i;
    return best;
}

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Its part of a round, or what its budget pays for. */
static uint64_t turn_length(const struct gs_arbiter_state *state, int turn)
{
    uint64_t sum = 0;
    const struct gs_account *account = &state->account[turn];
    for (int i = 0; i < GS_ACCOUNTS; i++)
        sum += state->account[i].wants ? state->account[i].weight : 0;
    uint64_t part = within(ROUND_NS * account->weight / (sum ? sum : 1), SHORTEST_NS, ROUND_NS);
    if (!limited(account))
        return part;
    /* While the turn lasts the budget also grows. */
    uint64_t affords =
        account->budget > 0 ? (uint64_t)account->budget * GS_FULL / (GS_FULL - account->limit) : 0;
    return affords < part ? affords : part;
}

static bool goes_on(const struct gs_arbiter_state *state, uint64_t now)
{
    const struct gs_account *account =
        state->turn == GS_NO_TURN ? NULL : &state->account[state->turn];
    return account && account->wants && now < state->turn_end
           && (!limited(account) || account->budget > 0);
}

static void begin_turn(struct gs_arbiter_state *state, uint64_t now)
{
    state->turn = choose(state);
    state->used_ns = state->given_back = 0;
    state->turn_end = now + (state->turn == GS_NO_TURN ? 0 : turn_length(state, state->turn));
}

/*
 * A share that takes no turns (any more), or does not want the GPU, is left alone: work that it may
 * have queued unseen is not held up. One that is about to be suspended is let end what it has
 * queued.
 */
static bool may_run(const struct gs_arbiter_state *state, const struct gs_arbiter_wishes *wishes,
                    int slot)
{
    const struct gs_slot_wish *wish = &wishes->slot[slot];
    return !wish->takes_turns || account_of(wishes, slot) == state->turn || !wish->wants
           || wish->drains;
}

/* The moment at which a share that wants a turn can afford one. */
static uint64_t next_budget(const struct gs_arbiter_state *state, uint64_t now)
{
    uint64_t next = now + ROUND_NS;
    for (int i = 0; i < GS_ACCOUNTS; i++) {
        const struct gs_account *account = &state->account[i];
        int64_t missing = full_budget(account) / 2 - account->budget;
        if (!account->wants || !account->limit)
            continue;
        uint64_t at = now + (missing > 0 ? (uint64_t)missing * GS_FULL / account->limit : 0);
        next = at < next ? at : next;
    }
    return next;
}

static uint64_t next_look(const struct gs_arbiter_state *state, uint64_t now)
{
    uint64_t next = state->turn == GS_NO_TURN ? next_budget(state, now) : state->turn_end;
    return next < now + LOOK_NS ? within(next, now + 50 * US, UINT64_MAX) : now + LOOK_NS;
}

static void end_turns(struct gs_arbiter_decision *decision)
{
    decision->ends_turns = true;
    decision->look_at = UINT64_MAX;
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        decision->slot[i].open = true;
}

static void give_turn(struct gs_arbiter_decision *decision, const struct gs_arbiter_wishes *wishes,
                      uint64_t now)
{
    if (!goes_on(&decision->next, now))
        begin_turn(&decision->next, now);
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        decision->slot[i].open = may_run(&decision->next, wishes, i);
    decision->look_at = next_look(&decision->next, now);
}

struct gs_arbiter_state gs_arbiter_begin(const struct gs_arbiter_wishes *wishes, uint64_t now)
{
    struct gs_arbiter_state state = {.turn = GS_NO_TURN, .at = now, .needed_at = now};
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        state.overrun_seen[i] = wishes->slot[i].overrun_ns;
    return state;
}

struct gs_arbiter_decision gs_arbiter_step(const struct gs_arbiter_state *before,
                                           const struct gs_arbiter_wishes *wishes, uint64_t now)
{
    struct gs_arbiter_decision decision = {.next = *before};
    struct gs_arbiter_state *state = &decision.next;
    uint64_t passed = now - state->at < ROUND_NS ? now - state->at : ROUND_NS;
    state->at = now;
    charge_turn(&decision, wishes, passed);
    if (see_accounts(state, wishes, now))
        state->needed_at = now;
    else if (now - state->needed_at > PATIENCE_NS) {
        end_turns(&decision);
        return decision;
    }
    settle_accounts(state, wishes, passed);
    welcome(state);
    give_turn(&decision, wishes, now);
    return decision;
}
