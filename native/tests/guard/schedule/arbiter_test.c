/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: what shares get of a GPU that they always use. */
#include <string.h>

#include "fakes.h"
#include "schedule/decide/arbiter_step.h"

/* A GPU whose shares have more work than it can do. */
static struct gs_arbiter_state state;
static struct gs_arbiter_wishes wishes;
static uint64_t now, open_ns[GS_SHARE_SLOTS];
static uint64_t runs_on_ns[GS_SHARE_SLOTS]; /* after each of its turns */
static uint64_t runs_on_until[GS_SHARE_SLOTS];
static bool kept_out[GS_SHARE_SLOTS];       /* by high-priority work */
static bool in_turns;

static void start(void)
{
    memset(&wishes, 0, sizeof wishes);
    memset(runs_on_ns, 0, sizeof runs_on_ns);
    memset(runs_on_until, 0, sizeof runs_on_until);
    memset(kept_out, 0, sizeof kept_out);
    now = 10000 * MS;
    state = gs_arbiter_begin(&wishes, now);
    in_turns = true;
}

static void share(int slot, uint32_t limit, uint32_t request)
{
    wishes.slot[slot] = (struct gs_slot_wish){.limit = limit,
                                              .request = request,
                                              .takes_turns = true,
                                              .capped = limit < GS_FULL || request > 0,
                                              .wants = true,
                                              .overrun_ns = wishes.slot[slot].overrun_ns};
}

static void apply(const struct gs_arbiter_decision *decision)
{
    int turns = 0;
    for (int i = 0; i < GS_SHARE_SLOTS; i++) {
        struct gs_slot_wish *wish = &wishes.slot[i];
        bool may_run = decision->slot[i].open;
        if (wish->open && !may_run && wish->takes_turns)
            runs_on_until[i] = now + runs_on_ns[i];
        wish->open = may_run && !kept_out[i];
        turns +=
            may_run && wish->takes_turns && wish->wants && wish->capped && !decision->ends_turns;
    }
    CHECK(turns <= 1);
}

/* An overrun is known when the work has ended. */
static void count_overruns(void)
{
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        if (runs_on_until[i] && now >= runs_on_until[i]) {
            wishes.slot[i].overrun_ns += runs_on_ns[i];
            runs_on_until[i] = 0;
        }
}

static void step(void)
{
    count_overruns();
    const struct gs_arbiter_decision decision = gs_arbiter_step(&state, &wishes, now);
    state = decision.next;
    in_turns &= !decision.ends_turns;
    CHECK(decision.look_at > now);
    apply(&decision);
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        open_ns[i] += wishes.slot[i].open && wishes.slot[i].wants ? decision.look_at - now : 0;
    now = decision.look_at;
}

/* The time from then on counts. */
static void run(uint64_t ns)
{
    uint64_t until = now + ns;
    memset(open_ns, 0, sizeof open_ns);
    while (in_turns && now < until)
        step();
}

/* Hundredths of a percent that the slot had of the GPU. */
static int64_t had(int slot, uint64_t ns)
{
    return (int64_t)(open_ns[slot] * GS_FULL / ns);
}

static bool about(int64_t value, int64_t goal)
{
    return value >= goal - 100 && value <= goal + 100;
}

static void a_limit_is_met_alone(void)
{
    static const uint32_t limits[] = {1000, 2500, 5000, 7500};
    for (int i = 0; i < 4; i++) {
        start();
        share(0, limits[i], limits[i]);
        run(2000 * MS);
        CHECK(about(had(0, 2000 * MS), limits[i]));
    }
}

static void limits_are_met_together(void)
{
    start();
    share(0, 2500, 2500);
    share(1, 5000, 5000);
    run(2000 * MS);
    CHECK(about(had(0, 2000 * MS), 2500) && about(had(1, 2000 * MS), 5000));
}

static void a_share_without_a_limit_gets_what_is_left(void)
{
    start();
    share(0, 2500, 2500);
    share(1, GS_FULL, 0);
    run(2000 * MS);
    CHECK(about(had(0, 2000 * MS), 2500) && about(had(1, 2000 * MS), 7500));
}

static void an_idle_guarantee_is_lent_and_taken_back(void)
{
    start();
    share(0, GS_FULL, 2500);
    share(1, GS_FULL, 7500);
    wishes.slot[1].wants = false;
    run(1000 * MS);
    CHECK(about(had(0, 1000 * MS), GS_FULL));
    wishes.slot[1].wants = true;
    run(2000 * MS);
    CHECK(about(had(0, 2000 * MS), 2500) && about(had(1, 2000 * MS), 7500));
}

static void a_limit_changes_while_the_program_runs(void)
{
    start();
    share(0, 2500, 2500);
    run(1000 * MS);
    share(0, 6000, 6000);
    run(1000 * MS);
    CHECK(about(had(0, 1000 * MS), 6000));
}

/*
 * Virtual time does not go back: a share that was away would else have the GPU alone for as long as
 * it was.
 */
static void a_share_that_was_away_has_saved_up_nothing(void)
{
    start();
    share(0, GS_FULL, 5000);
    run(10000 * MS);
    share(1, GS_FULL, 5000);
    run(400 * MS);
    CHECK(about(had(0, 400 * MS), 5000) && about(had(1, 400 * MS), 5000));
}

static void an_overrun_is_charged_to_the_limit(void)
{
    start();
    share(0, 2500, 2500);
    runs_on_ns[0] = 4 * MS;
    run(1000 * MS); /* until its new limit is charged for */
    uint64_t before = wishes.slot[0].overrun_ns;
    run(4000 * MS);
    uint64_t over = wishes.slot[0].overrun_ns - before;
    CHECK(over > 100 * MS);
    CHECK(about(had(0, 4000 * MS) + (int64_t)(over * GS_FULL / (4000 * MS)), 2500));
}

static void work_queued_before_the_limit_is_not_charged_to_it(void)
{
    start();
    share(0, 1000, 1000);
    step();
    wishes.slot[0].overrun_ns += 400 * MS;
    run(1000 * MS);
    CHECK(had(0, 1000 * MS) > 900);
}

/*
 * Half of what ran together with the other's turn is charged, and as much given back: the GPU does
 * not idle for it.
 */
static void overruns_into_other_turns_leave_no_gap(void)
{
    start();
    for (int i = 0; i < 2; i++) {
        share(i, 5000, 5000);
        runs_on_ns[i] = 6 * MS;
    }
    run(1000 * MS);
    run(4000 * MS);
    CHECK(had(0, 4000 * MS) + had(1, 4000 * MS) >= 9800);
    CHECK(about(had(0, 4000 * MS), 5000));
}

/*
 * Until the first share has had the GPU for a while in its turn; then the second one's work is seen
 * to have run on.
 */
static struct gs_arbiter_decision overrun_into_the_turn_of_0(uint64_t ns, bool alone)
{
    start();
    share(0, GS_FULL, 5000);
    share(1, GS_FULL, 5000);
    run(1000 * MS);
    while (state.turn != 0 || state.used_ns < 8 * MS)
        step();
    wishes.slot[1].overrun_ns += ns;
    wishes.slot[1].runs_alone = alone;
    return gs_arbiter_step(&state, &wishes, now);
}

static void a_refund_is_at_most_half_of_a_turn(void)
{
    const struct gs_arbiter_decision decision = overrun_into_the_turn_of_0(1000 * MS, true);
    CHECK(decision.next.given_back == decision.next.used_ns / 2);
    CHECK(decision.next.account[0].virtual + decision.next.used_ns * 2 >= state.account[0].virtual);
}

static void what_ran_together_is_charged_by_half(void)
{
    const struct gs_arbiter_decision together = overrun_into_the_turn_of_0(2 * MS, false);
    CHECK(together.next.given_back == 1 * MS);
    CHECK(together.next.account[1].virtual - state.account[1].virtual == 2 * MS);
    const struct gs_arbiter_decision alone = overrun_into_the_turn_of_0(2 * MS, true);
    CHECK(alone.next.given_back == 2 * MS);
    CHECK(alone.next.account[1].virtual - state.account[1].virtual == 4 * MS);
}

static void a_new_share_in_a_slot_pays_for_no_other(void)
{
    start();
    share(0, 2500, 2500);
    wishes.slot[0].overrun_ns = 500 * MS;
    run(1000 * MS);
    wishes.slot[0].overrun_ns = 0;
    run(1000 * MS);
    CHECK(about(had(0, 1000 * MS), 2500));
}

static void a_new_arbiter_does_not_charge_what_was_before_it(void)
{
    start();
    share(0, 2500, 2500);
    wishes.slot[0].overrun_ns = 5000 * MS;
    state = gs_arbiter_begin(&wishes, now);
    state.account[0].limit = 2500; /* as if it had been there for long */
    run(1000 * MS);
    CHECK(about(had(0, 1000 * MS), 2500));
}

static void a_share_that_high_priority_work_keeps_out_takes_no_turns_from_others(void)
{
    start();
    share(0, 2500, 2500);
    share(1, GS_FULL, 0);
    kept_out[1] = true;
    run(2000 * MS);
    CHECK(about(had(0, 2000 * MS), 2500) && had(1, 2000 * MS) == 0);
}

static void time_that_high_priority_work_takes_is_not_charged(void)
{
    start();
    share(0, 5000, 5000);
    kept_out[0] = true;
    run(1000 * MS);
    CHECK(state.account[0].budget == 40 * MS); /* as much as it can save up */
}

static void a_budget_is_saved_up_for_two_rounds(void)
{
    start();
    share(0, 1000, 1000);
    share(1, GS_FULL, 0);
    run(1000 * MS);
    wishes.slot[0].wants = false;
    wishes.slot[2] = wishes.slot[1];
    share(3, 1000, 1000); /* turns go on */
    run(10000 * MS);
    CHECK(in_turns);
    wishes.slot[0].wants = true;
    wishes.slot[1].wants = wishes.slot[2].wants = wishes.slot[3].wants = false;
    run(400 * MS);
    CHECK(had(0, 400 * MS) >= 1000 && had(0, 400 * MS) <= 1300);
}

static void a_share_about_to_be_suspended_is_let_out_of_turn(void)
{
    start();
    share(0, 5000, 5000);
    share(1, 5000, 5000);
    while (state.turn != 0)
        step();
    wishes.slot[1].drains = true;
    CHECK(gs_arbiter_step(&state, &wishes, now).slot[1].open);
    wishes.slot[1].drains = false;
    CHECK(!gs_arbiter_step(&state, &wishes, now).slot[1].open);
}

static void shares_that_want_nothing_are_left_alone(void)
{
    start();
    share(0, 5000, 5000);
    share(1, 5000, 5000);
    wishes.slot[1].wants = false;
    while (state.turn != 0)
        step();
    CHECK(wishes.slot[0].open && wishes.slot[1].open);
}

static void turns_end_a_while_after_the_last_wish(void)
{
    start();
    share(0, 2500, 2500);
    run(100 * MS);
    wishes.slot[0].wants = false;
    run(190 * MS);
    CHECK(in_turns);
    run(20 * MS);
    CHECK(!in_turns && wishes.slot[0].open);
}

static void times_are_counted_while_they_are_wanted(void)
{
    start();
    share(0, 5000, 5000);
    while (state.turn != 0)
        step();
    now += 3 * MS - (now - state.at);
    struct gs_arbiter_decision decision = gs_arbiter_step(&state, &wishes, now);
    CHECK(decision.slot[0].wanted_ns == 3 * MS && decision.slot[0].open_ns == 3 * MS);
    wishes.slot[0].open = false;
    decision = gs_arbiter_step(&state, &wishes, now);
    CHECK(decision.slot[0].wanted_ns == 3 * MS && decision.slot[0].open_ns == 0);
}

static void a_wish_holds_for_a_while(void)
{
    CHECK(gs_process_wants(true, false, 0, now) && gs_process_wants(false, true, 0, now));
    CHECK(gs_process_wants(false, false, now, now + 19 * MS));
    CHECK(!gs_process_wants(false, false, now, now + 20 * MS));
}

int main(void)
{
    a_limit_is_met_alone();
    limits_are_met_together();
    a_share_without_a_limit_gets_what_is_left();
    an_idle_guarantee_is_lent_and_taken_back();
    a_limit_changes_while_the_program_runs();
    a_share_that_was_away_has_saved_up_nothing();
    an_overrun_is_charged_to_the_limit();
    work_queued_before_the_limit_is_not_charged_to_it();
    overruns_into_other_turns_leave_no_gap();
    a_refund_is_at_most_half_of_a_turn();
    what_ran_together_is_charged_by_half();
    a_new_share_in_a_slot_pays_for_no_other();
    a_new_arbiter_does_not_charge_what_was_before_it();
    a_share_that_high_priority_work_keeps_out_takes_no_turns_from_others();
    time_that_high_priority_work_takes_is_not_charged();
    a_budget_is_saved_up_for_two_rounds();
    a_share_about_to_be_suspended_is_let_out_of_turn();
    shares_that_want_nothing_are_left_alone();
    turns_end_a_while_after_the_last_wish();
    times_are_counted_while_they_are_wanted();
    a_wish_holds_for_a_while();
    return 0;
}
