/* SPDX-License-Identifier: Apache-2.0 */
/* How long launches take, learned from some of them. */
#include <string.h>

#include "fakes.h"
#include "driver/capture_state.h"
#include "schedule/timing/cost_model.h"
#include "schedule/timing/cost_table.h"

static struct gs_cost_table table;

static void start(void)
{
    memset(&table, 0, sizeof table);
}

static void an_unknown_kind_has_no_estimate_and_is_measured(void)
{
    start();
    CHECK(gs_cost_estimate(&table, 7) == 0 && gs_cost_is_due(&table, 7));
}

static void the_first_measurement_is_the_estimate(void)
{
    start();
    gs_cost_learn(&table, 7, 400 * US);
    CHECK(gs_cost_estimate(&table, 7) == 400 * US);
}

static void later_ones_move_it_by_a_quarter(void)
{
    start();
    gs_cost_learn(&table, 7, 400);
    gs_cost_learn(&table, 7, 800);
    CHECK(gs_cost_estimate(&table, 7) == 500);
    gs_cost_learn(&table, 7, 100);
    CHECK(gs_cost_estimate(&table, 7) == 400);
    for (int i = 0; i < 100; i++)
        gs_cost_learn(&table, 7, 10000);
    CHECK(gs_cost_estimate(&table, 7) > 9900);
}

static void a_measurement_of_more_than_four_seconds_is_bounded(void)
{
    start();
    gs_cost_learn(&table, 7, 5000 * MS);
    CHECK(gs_cost_estimate(&table, 7) == UINT32_MAX);
}

static void three_launches_are_measured_and_then_every_sixty_first(void)
{
    start();
    for (int i = 0; i < 3; i++) {
        CHECK(gs_cost_is_due(&table, 7));
        gs_cost_learn(&table, 7, 100);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 60; i++)
            CHECK(!gs_cost_is_due(&table, 7));
        CHECK(gs_cost_is_due(&table, 7));
        CHECK(gs_cost_is_due(&table, 7)); /* until it is measured */
        gs_cost_learn(&table, 7, 100);
    }
}

static void kinds_do_not_mix(void)
{
    start();
    for (uint64_t key = 1; key <= 400; key++)
        gs_cost_learn(&table, key, key * 10);
    for (uint64_t key = 1; key <= 400; key++)
        CHECK(gs_cost_estimate(&table, key) == key * 10);
}

static void a_full_table_forgets_old_kinds_rather_than_new_ones(void)
{
    start();
    for (uint64_t key = 1; key <= 3 * GS_COST_KINDS; key++) {
        gs_cost_learn(&table, key, key);
        CHECK(gs_cost_estimate(&table, key) == key);
    }
}

static struct gs_attachment *program;

static void run_program(void)
{
    fake_reset();
    gs_cost_model_forget();
    fake_share(0, GS_LOW);
    program = fake_process(0, 0);
}

/* Whether it was measured. */
static bool launch(uint64_t key, uint64_t ns)
{
    fake_work_ends = fake_now;
    int sample = gs_cost_model_begin(key, STREAM(0));
    fake_work_ends = fake_now + ns;
    gs_cost_model_end(sample, STREAM(0), true, program);
    fake_now += ns;
    return sample >= 0;
}

static void a_measurement_is_read_at_a_later_launch(void)
{
    run_program();
    CHECK(launch(7, 400 * US) && gs_cost_model_estimate(7) == 0);
    CHECK(launch(9, 1 * MS));
    CHECK(gs_cost_model_estimate(7) == 400 * US && program->share->longest_ns == 400 * US);
}

static void a_kernel_that_changes_is_measured_again(void)
{
    run_program();
    int measured = 0;
    for (int i = 0; i < 10; i++)
        launch(7, 100 * US);
    CHECK(gs_cost_model_estimate(7) == 100 * US);
    for (int i = 0; i < 620; i++)
        measured += launch(7, 900 * US);
    CHECK(measured >= 10 && measured <= 11 && gs_cost_model_estimate(7) > 800 * US);
    CHECK(program->share->longest_ns > 890 * US);
}

static void a_launch_that_failed_is_not_measured(void)
{
    run_program();
    int sample = gs_cost_model_begin(7, STREAM(0));
    gs_cost_model_end(sample, STREAM(0), false, program);
    launch(9, 1 * MS);
    launch(9, 1 * MS);
    CHECK(sample >= 0 && gs_cost_model_estimate(7) == 0);
}

static void nothing_is_measured_during_a_capture(void)
{
    run_program();
    gs_captures = 1;
    CHECK(gs_cost_model_begin(7, STREAM(0)) == -1 && fake_records == 0);
}

static void work_that_still_runs_keeps_its_sample(void)
{
    run_program();
    fake_work_ends = fake_now + 1000 * MS;
    for (int i = 0; i < 16; i++) {
        int sample = gs_cost_model_begin(7, STREAM(0));
        CHECK(sample == i);
        gs_cost_model_end(sample, STREAM(0), true, program);
    }
    CHECK(gs_cost_model_begin(7, STREAM(0)) == -1);
}

static void a_context_that_ends_takes_its_samples_along(void)
{
    run_program();
    launch(7, 100 * US);
    gs_cost_model_forget_context(fake_context);
    launch(9, 100 * US);
    CHECK(gs_cost_model_estimate(7) == 0);
}

int main(void)
{
    an_unknown_kind_has_no_estimate_and_is_measured();
    the_first_measurement_is_the_estimate();
    later_ones_move_it_by_a_quarter();
    a_measurement_of_more_than_four_seconds_is_bounded();
    three_launches_are_measured_and_then_every_sixty_first();
    kinds_do_not_mix();
    a_full_table_forgets_old_kinds_rather_than_new_ones();
    a_measurement_is_read_at_a_later_launch();
    a_kernel_that_changes_is_measured_again();
    a_launch_that_failed_is_not_measured();
    nothing_is_measured_during_a_capture();
    work_that_still_runs_keeps_its_sample();
    a_context_that_ends_takes_its_samples_along();
    return 0;
}
