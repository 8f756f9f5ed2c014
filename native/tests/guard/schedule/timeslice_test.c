/* SPDX-License-Identifier: Apache-2.0 */
/* Timeslices by rank and company. */
#include "fakes.h"
#include "schedule/timing/timeslice.h"
#include "schedule/timing/timeslice_step.h"

enum { JOB_US = 80, SERVICE_US = 10000 };

static void several_jobs_have_no_short_ones(void)
{
    CHECK(gs_timeslice_low_us(JOB_US, false) == JOB_US);
    CHECK(gs_timeslice_low_us(JOB_US, true) == GS_CROWDED_US);
    CHECK(gs_timeslice_low_us(5000, true) == 5000);
    CHECK(gs_timeslice_low_us(0, true) == 0);
}

static void a_service_has_long_ones_only_among_jobs(void)
{
    CHECK(gs_timeslice_high_us(SERVICE_US, true, false) == SERVICE_US);
    CHECK(gs_timeslice_high_us(SERVICE_US, true, true) == 0);
    CHECK(gs_timeslice_high_us(SERVICE_US, false, false) == 0);
}

static void turns_have_long_ones_where_they_are_alone(void)
{
    CHECK(gs_timeslice_turn_us(false, false) == GS_TURN_US);
    CHECK(gs_timeslice_turn_us(true, false) == 0 && gs_timeslice_turn_us(false, true) == 0);
}

static void a_companion_is_active_for_a_while_after_its_wish(void)
{
    struct gs_companion other = {.lives = true, .want_ns = 1000 * MS};
    CHECK(gs_companion_is_active(&other, 1019 * MS) && !gs_companion_is_active(&other, 1020 * MS));
    other.busy = true;
    CHECK(gs_companion_is_active(&other, 2000 * MS));
    other.lives = false;
    CHECK(!gs_companion_is_active(&other, 2000 * MS));
}

static void work_out_of_turn_or_of_high_rank_does_not_run_beside_a_job(void)
{
    struct gs_companion other = {.lives = true, .busy = true, .rank = GS_LOW};
    CHECK(gs_companion_runs_beside(&other, 0));
    other.out_of_turn = true;
    CHECK(!gs_companion_runs_beside(&other, 0));
    other = (struct gs_companion){.lives = true, .busy = true, .rank = GS_HIGH};
    CHECK(!gs_companion_runs_beside(&other, 0));
}

static void shares_without_a_limit_have_one_turn(void)
{
    struct gs_companion other = {.lives = true, .busy = true};
    CHECK(gs_companion_shares_turn(&other, false, 0) && !gs_companion_shares_turn(&other, true, 0));
    other.capped = true;
    CHECK(!gs_companion_shares_turn(&other, false, 0));
    other.same_share = true;
    CHECK(gs_companion_shares_turn(&other, true, 0));
}

static struct gs_attachment *service, *job, *second;

/* A service in slot 0, a job in slot 1, and an idle one in slot 2. */
static void three_programs(void)
{
    fake_reset();
    fake_share(0, GS_HIGH)->policy.timeslice_us = SERVICE_US;
    fake_share(1, GS_LOW)->policy.timeslice_us = JOB_US;
    fake_share(2, GS_LOW)->policy.timeslice_us = JOB_US;
    service = fake_process(0, 0);
    job = fake_process(1, 1);
    second = fake_process(2, 2);
}

static void a_job_alone_has_its_short_one(void)
{
    three_programs();
    service->process->busy = 1;
    gs_timeslice_low(job);
    CHECK(fake_timeslice_us == JOB_US && job->share->timeslice_us == JOB_US);
    CHECK(job->process->want_ns == fake_now);
}

static void jobs_that_run_together_have_longer_ones(void)
{
    three_programs();
    second->process->want_ns = fake_now;
    gs_timeslice_low(job);
    CHECK(fake_timeslice_us == GS_CROWDED_US);
    fake_now += 20 * MS;
    gs_timeslice_low(job);
    CHECK(fake_timeslice_us == JOB_US);
}

static void the_page_is_looked_at_from_time_to_time(void)
{
    three_programs();
    gs_timeslice_low(job);
    second->process->busy = 1;
    fake_now += 9 * MS;
    gs_timeslice_low(job);
    CHECK(fake_timeslice_us == JOB_US);
    fake_now += 1 * MS;
    gs_timeslice_low(job);
    CHECK(fake_timeslice_us == GS_CROWDED_US);
}

static void a_service_yields_its_long_one_to_normal_priority(void)
{
    three_programs();
    gs_timeslice_high(service);
    CHECK(fake_timeslice_us == SERVICE_US);
    second->share->policy.rank = GS_NORMAL;
    fake_now += 10 * MS;
    gs_timeslice_high(service);
    CHECK(fake_timeslice_us == 0);
}

static void a_service_alone_keeps_the_drivers(void)
{
    three_programs();
    job->process->pid = second->process->pid = 0;
    gs_timeslice_high(service);
    CHECK(fake_timeslice_us == 0);
}

static void turns_keep_the_drivers_next_to_high_priority_work(void)
{
    three_programs();
    gs_timeslice_in_turns(job);
    CHECK(fake_timeslice_us == GS_TURN_US && gs_timeslice_is_of_turns(job->share));
    fake_page.preempt_bits = 1;
    fake_now += 10 * MS;
    gs_timeslice_in_turns(job);
    CHECK(fake_timeslice_us == 0 && !gs_timeslice_is_of_turns(job->share));
}

static void programs_that_share_a_turn_keep_the_drivers(void)
{
    three_programs();
    second->process->busy = 1;
    gs_timeslice_in_turns(job);
    CHECK(fake_timeslice_us == 0);
    job->share->policy.limit = 5000;
    fake_now += 10 * MS;
    gs_timeslice_in_turns(job);
    CHECK(fake_timeslice_us == GS_TURN_US);
}

static void the_drivers_comes_back(void)
{
    three_programs();
    gs_timeslice_low(job);
    gs_timeslice_default(job);
    CHECK(fake_timeslice_us == 0 && job->share->timeslice_us == 0);
    gs_timeslice_restore(job);
    CHECK(fake_timeslice_us == JOB_US);
}

static void a_job_waits_for_the_longest_one_of_high_rank(void)
{
    three_programs();
    service->share->timeslice_us = SERVICE_US;
    CHECK(gs_timeslice_of_high(job) == 0); /* contexts take no turns */
    gs_timeslice_low(job);
    CHECK(gs_timeslice_of_high(job) == SERVICE_US * US);
}

int main(void)
{
    several_jobs_have_no_short_ones();
    a_service_has_long_ones_only_among_jobs();
    turns_have_long_ones_where_they_are_alone();
    a_companion_is_active_for_a_while_after_its_wish();
    work_out_of_turn_or_of_high_rank_does_not_run_beside_a_job();
    shares_without_a_limit_have_one_turn();
    a_job_alone_has_its_short_one();
    jobs_that_run_together_have_longer_ones();
    the_page_is_looked_at_from_time_to_time();
    a_service_yields_its_long_one_to_normal_priority();
    a_service_alone_keeps_the_drivers();
    turns_keep_the_drivers_next_to_high_priority_work();
    programs_that_share_a_turn_keep_the_drivers();
    the_drivers_comes_back();
    a_job_waits_for_the_longest_one_of_high_rank();
    return 0;
}
