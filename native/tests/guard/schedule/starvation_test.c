/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job can rely on next to high-priority work: its minimum, and that the one that keeps it
 * out lives.
 */
#include "fakes.h"
#include "schedule/decide/starvation.h"
#include "schedule/decide/starvation_step.h"

#define WINDOW (100 * MS)
#define WINDOW_10 (10 * WINDOW)

static struct gs_starvation_decision step(struct gs_starvation_state *state,
                                          struct gs_starvation_view view, uint64_t now)
{
    const struct gs_starvation_decision decision = gs_starvation_step(state, &view, now);
    *state = decision.next;
    return decision;
}

static const struct gs_starvation_view closed = {.closed = true}, open = {0};

static void a_share_closed_for_a_whole_window_may_run_once_in_the_next(void)
{
    struct gs_starvation_state state = {.window = 9};
    CHECK(!step(&state, closed, WINDOW_10 - 1).starved);
    CHECK(step(&state, closed, WINDOW_10).starved);
    CHECK(!step(&state, closed, WINDOW_10 + 50 * MS).starved);
    CHECK(step(&state, closed, WINDOW_10 + WINDOW).starved);
}

static void a_share_that_was_open_for_a_moment_does_not_starve(void)
{
    struct gs_starvation_state state = {.window = 9};
    step(&state, open, WINDOW_10 - 50 * MS);
    CHECK(!step(&state, closed, WINDOW_10).starved);
}

static void a_window_that_was_not_watched_does_not_count(void)
{
    struct gs_starvation_state state = {.window = 8};
    CHECK(!step(&state, closed, WINDOW_10).starved);
}

static void a_closed_gate_is_watched(void)
{
    struct gs_starvation_state state = {.window = 10};
    const struct gs_starvation_decision decision = step(&state, closed, WINDOW_10);
    CHECK(decision.looks && !decision.opens && decision.look_at == WINDOW_10 + 2 * MS);
}

static void an_open_gate_is_watched_while_there_is_work(void)
{
    struct gs_starvation_state state = {.window = 10};
    const struct gs_starvation_view active = {.fences = 5};
    CHECK(step(&state, active, WINDOW_10).look_at == WINDOW_10 + 2 * MS);
    CHECK(step(&state, active, WINDOW_10).look_at == WINDOW_10 + 50 * MS);
}

/* A fence may still be in a stream, and a gate that closes wakes nothing. */
static void without_fences_nothing_is_watched(void)
{
    struct gs_starvation_state state = {.window = 10};
    const struct gs_starvation_view nothing = {0};
    CHECK(step(&state, nothing, WINDOW_10).look_at == UINT64_MAX);
}

static void a_share_about_to_be_suspended_is_let_out(void)
{
    struct gs_starvation_state state = {.window = 9};
    const struct gs_starvation_view draining = {.closed = true, .draining = true};
    const struct gs_starvation_decision decision = step(&state, draining, WINDOW_10);
    CHECK(decision.opens && !decision.starved && decision.look_at < WINDOW_10 + 1 * MS);
}

static void a_process_is_silent_after_fifty_milliseconds(void)
{
    const struct gs_bit_owner owner = {.known = true, .beat_ns = 1000 * MS, .until_ns = UINT64_MAX},
                              none = {0};
    CHECK(!gs_bit_owner_is_silent(&owner, 1050 * MS) && gs_bit_owner_holds(&owner, 1050 * MS));
    CHECK(gs_bit_owner_is_silent(&owner, 1051 * MS) && !gs_bit_owner_holds(&owner, 1051 * MS));
    CHECK(!gs_bit_owner_is_silent(&owner,
                                  900 * MS)); /* its beat is newer than our look at the clock */
    CHECK(gs_bit_owner_is_silent(&none, 0) && !gs_bit_owner_holds(&none, 0));
}

static void a_busy_period_that_has_ended_holds_no_one(void)
{
    const struct gs_bit_owner owner = {.known = true, .beat_ns = 1000 * MS, .until_ns = 0};
    CHECK(!gs_bit_owner_holds(&owner, 1000 * MS));
}

static void a_run_is_the_minimum_and_a_timeslice_of_the_others(void)
{
    CHECK(gs_starvation_run_ns(200, 0) == 2 * MS);
    CHECK(gs_starvation_run_ns(200, 10 * MS) == 12 * MS);
    CHECK(gs_starvation_run_ns(9000, 0) == 50 * MS);
    CHECK(gs_starvation_run_ns(0, 10 * MS) == 0);
}

/*
 * A job in slot 1 that a service in slot 0 keeps out. The number is that of a GPU which no other
 * test uses.
 */
static struct gs_attachment *job, *service;
static int gpu;

static void keep_out(void)
{
    fake_reset();
    gpu++;
    fake_share(0, GS_HIGH);
    fake_share(1, GS_LOW);
    service = fake_process(0, 0);
    service->process->until_ns = UINT64_MAX;
    gs_gpu_page_close(&fake_page, gs_gpu_page_preempt_bit(&fake_page, 0));
    job = fake_process(1, 1);
    CHECK(job->share->gate == 1);
}

static uint64_t tick(uint64_t later)
{
    fake_now += later;
    return gs_starvation_tick(job, gpu, fake_now);
}

static void see_it_open(void)
{
    CHECK(job->share->gate == 0);
    service->process->beat_ns = fake_now; /* its timer thread goes on */
}

static void starve(void)
{
    tick(0);
    service->process->beat_ns = fake_now + WINDOW;
    fake_on_nap = see_it_open;
    tick(WINDOW);
}

static void a_starved_share_runs_for_its_minimum(void)
{
    keep_out();
    starve();
    CHECK(fake_napped == 2 * MS && job->share->starvation_runs == 1 && job->share->overrides == 0);
    CHECK(job->share->gate == 1); /* closed again */
}

static void a_share_without_a_minimum_waits(void)
{
    keep_out();
    job->share->policy.minimum = 0;
    starve();
    CHECK(fake_napped == 0 && job->share->starvation_runs == 0 && job->share->gate == 1);
}

static void one_process_of_a_share_gives_the_run(void)
{
    keep_out();
    struct gs_attachment *sibling = fake_process(2, 1);
    int first = gpu++;
    gs_starvation_tick(sibling, first, fake_now);
    gs_starvation_tick(job, gpu, fake_now);
    fake_now += WINDOW;
    service->process->beat_ns = fake_now;
    gs_starvation_tick(sibling, first, fake_now);
    service->process->beat_ns = fake_now;
    gs_starvation_tick(job, gpu, fake_now);
    CHECK(job->share->starvation_runs == 1);
}

static void end_period(void)
{
    fake_on_clock = NULL;
    service->process->until_ns = 0;
    gs_gpu_page_open(&fake_page, 1);
}

static void end_period_soon(void)
{
    service->process->beat_ns = fake_now;
    fake_on_clock = end_period;
}

/*
 * Its process opens gates that are open, and this one closes it after that: no other would open it.
 */
static void a_period_that_ends_after_the_run_leaves_the_gate_open(void)
{
    keep_out();
    tick(0);
    service->process->beat_ns = fake_now + WINDOW;
    fake_on_nap = end_period_soon;
    tick(WINDOW);
    CHECK(job->share->starvation_runs == 1 && fake_on_clock == NULL);
    CHECK(job->share->gate == 0);
}

static void fall_silent(void)
{
    service->process->beat_ns = fake_now - 60 * MS;
}

static void a_gate_is_not_closed_again_for_a_silent_process(void)
{
    keep_out();
    tick(0);
    service->process->beat_ns = fake_now + WINDOW;
    fake_on_nap = fall_silent;
    tick(WINDOW);
    CHECK(job->share->starvation_runs == 1 && job->share->gate == 0);
}

static void a_silent_process_is_overruled(void)
{
    keep_out();
    tick(10 * MS);
    CHECK(job->share->gate == 1 && job->share->overrides == 0);
    tick(41 * MS);
    CHECK(job->share->gate == 0 && job->share->overrides == 1);
}

static void a_bit_without_a_process_is_overruled(void)
{
    keep_out();
    gs_share_slot_close(job->share, 1 << 7);
    tick(0);
    CHECK(job->share->gate == 1 && job->share->overrides == 1);
}

static void only_bits_of_high_priority_work_are_overruled(void)
{
    keep_out();
    gs_share_slot_close(job->share, GS_CLOSED_TURN);
    tick(60 * MS);
    CHECK(job->share->gate == GS_CLOSED_TURN);
}

static void a_suspension_opens_the_gate(void)
{
    keep_out();
    gs_share_slot_close(job->share, GS_CLOSED_TURN);
    job->process->draining = 1;
    CHECK(tick(0) == fake_now + 500 * US);
    CHECK(job->share->gate == GS_CLOSED_TURN);
}

int main(void)
{
    a_share_closed_for_a_whole_window_may_run_once_in_the_next();
    a_share_that_was_open_for_a_moment_does_not_starve();
    a_window_that_was_not_watched_does_not_count();
    a_closed_gate_is_watched();
    an_open_gate_is_watched_while_there_is_work();
    without_fences_nothing_is_watched();
    a_share_about_to_be_suspended_is_let_out();
    a_process_is_silent_after_fifty_milliseconds();
    a_busy_period_that_has_ended_holds_no_one();
    a_run_is_the_minimum_and_a_timeslice_of_the_others();
    a_starved_share_runs_for_its_minimum();
    a_share_without_a_minimum_waits();
    one_process_of_a_share_gives_the_run();
    a_period_that_ends_after_the_run_leaves_the_gate_open();
    a_gate_is_not_closed_again_for_a_silent_process();
    a_silent_process_is_overruled();
    a_bit_without_a_process_is_overruled();
    only_bits_of_high_priority_work_are_overruled();
    a_suspension_opens_the_gate();
    return 0;
}
