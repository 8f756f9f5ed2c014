/* SPDX-License-Identifier: Apache-2.0 */
/* Work that ran on after its turn: how much of it is counted, and how it is seen. */
#include "fakes.h"
#include "driver/capture_state.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/overrun_step.h"

static struct gs_overrun overrun;

static uint64_t ends(uint64_t end, uint64_t closed_at, uint64_t opened_at)
{
    const struct gs_ended_work work = {end, closed_at, opened_at};
    return gs_overrun_step(&overrun, &work);
}

static void work_that_ends_in_its_turn_is_not_counted(void)
{
    overrun = (struct gs_overrun){0};
    CHECK(ends(90, 100, 50) == 0 && ends(100, 100, 50) == 0);
}

static void work_before_the_first_turn_ended_is_not_counted(void)
{
    overrun = (struct gs_overrun){0};
    CHECK(ends(90, 0, 0) == 0);
}

static void what_ran_on_is_counted_once(void)
{
    overrun = (struct gs_overrun){0};
    CHECK(ends(130, 100, 50) == 30);
    CHECK(ends(120, 100, 50) == 0);
    CHECK(ends(150, 100, 50) == 20);
}

static void each_turn_counts_for_itself(void)
{
    overrun = (struct gs_overrun){0};
    CHECK(ends(130, 100, 50) == 30);
    CHECK(ends(310, 300, 200) == 10);
}

static void work_of_the_next_turn_is_not_counted(void)
{
    overrun = (struct gs_overrun){0};
    CHECK(ends(250, 100, 200) == 0);
    CHECK(ends(180, 100, 200) == 80); /* it ended before that turn */
}

static struct gs_attachment *program;

static void run_program(void)
{
    fake_reset();
    gs_completions_forget();
    fake_share(0, GS_NORMAL);
    program = fake_process(0, 0);
    program->active_at = fake_now;
}

static uint64_t tick(void)
{
    program->active_at = fake_now;
    return gs_completions_tick(program, 0, fake_now);
}

static void prepare(void)
{
    run_program();
    fake_work_ends = fake_now;
    gs_completions_record(program, 0, STREAM(0));
    tick(); /* the base: an event whose time on the host's clock is known */
    CHECK(program->share->overrun_ns == 0);
}

static void work_that_runs_on_is_counted_when_it_ends(void)
{
    prepare();
    program->share->opened_at = fake_now;
    fake_work_ends = fake_now + 20 * MS;
    gs_completions_record(program, 0, STREAM(0));
    program->share->closed_at = fake_now + 8 * MS;
    fake_now += 19 * MS;
    CHECK(tick() == fake_now + 1 * MS && program->share->overrun_ns == 0);
    fake_now += 1 * MS;
    CHECK(tick() == UINT64_MAX);
    CHECK(program->share->overrun_ns == 12 * MS);
}

static void nothing_is_recorded_during_a_capture(void)
{
    prepare();
    int before = fake_records;
    gs_captures = 1;
    gs_completions_record(program, 0, STREAM(0));
    CHECK(fake_records == before && tick() == UINT64_MAX);
}

static void nothing_is_recorded_in_another_context(void)
{
    run_program();
    fake_context = (CUcontext)0x20;
    gs_completions_record(program, 0, STREAM(0));
    CHECK(fake_records == 0);
}

static void as_many_are_pending_as_there_is_room_for(void)
{
    prepare();
    int before = fake_records;
    fake_work_ends = fake_now + 1000 * MS;
    for (int i = 0; i < 100; i++)
        gs_completions_record(program, 0, STREAM(0));
    CHECK(fake_records == before + 64);
}

static void a_context_that_ends_takes_its_events_along(void)
{
    prepare();
    fake_work_ends = fake_now + 20 * MS;
    gs_completions_record(program, 0, STREAM(0));
    gs_completions_forget_context(fake_context);
    CHECK(tick() == UINT64_MAX);
}

int main(void)
{
    work_that_ends_in_its_turn_is_not_counted();
    work_before_the_first_turn_ended_is_not_counted();
    what_ran_on_is_counted_once();
    each_turn_counts_for_itself();
    work_of_the_next_turn_is_not_counted();
    work_that_runs_on_is_counted_when_it_ends();
    nothing_is_recorded_during_a_capture();
    nothing_is_recorded_in_another_context();
    as_many_are_pending_as_there_is_room_for();
    a_context_that_ends_takes_its_events_along();
    return 0;
}
