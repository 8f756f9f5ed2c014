/* SPDX-License-Identifier: Apache-2.0 */
/* High-priority work: when it closes the gates of others, and when it opens them again. */
#include "fakes.h"
#include "driver/capture_state.h"
#include "schedule/decide/preempt.h"
#include "schedule/decide/preempt_step.h"

static struct gs_pauses pauses_of(int count, uint64_t ns)
{
    struct gs_pauses pauses = {0};
    for (int i = 0; i < count; i++)
        gs_pauses_add(&pauses, ns);
    return pauses;
}

static uint64_t grace_of(int count, uint64_t ns)
{
    const struct gs_pauses pauses = pauses_of(count, ns);
    return gs_preempt_grace(&pauses, 0);
}

static void a_grace_is_learned_from_eight_pauses_on(void)
{
    CHECK(grace_of(0, 0) == 100 * US);
    CHECK(grace_of(7, 30 * US) == 100 * US);
    CHECK(grace_of(8, 30 * US) == 50 * US);
}

static void short_regular_pauses_are_bridged(void)
{
    CHECK(grace_of(64, 10 * US) == 20 * US);
    CHECK(grace_of(64, 90 * US) == 100 * US);
    CHECK(grace_of(64, 140 * US) == 200 * US);
}

static void pauses_that_cost_more_than_a_switch_are_not(void)
{
    CHECK(grace_of(64, 160 * US) == 0);
    CHECK(grace_of(64, 1000 * MS) == 0);
}

static void rare_long_pauses_do_not_end_the_grace(void)
{
    struct gs_pauses pauses = {0};
    for (int i = 0; i < 64; i++)
        gs_pauses_add(&pauses, i % 16 ? 40 * US : 5 * MS);
    CHECK(gs_preempt_grace(&pauses, 0) == 50 * US);
}

static void the_newest_pauses_count(void)
{
    struct gs_pauses pauses = pauses_of(64, 30 * US);
    for (int i = 0; i < 64; i++)
        gs_pauses_add(&pauses, 10 * MS);
    CHECK(gs_preempt_grace(&pauses, 0) == 0);
}

static void a_pause_longer_than_four_seconds_is_long(void)
{
    const struct gs_pauses pauses = pauses_of(1, 5000 * MS);
    CHECK(pauses.count == 1 && pauses.ns[0] == UINT32_MAX);
    CHECK(pauses_of(1, 0).count == 0);
}

static void a_grace_can_be_set(void)
{
    const struct gs_pauses pauses = pauses_of(64, 30 * US);
    CHECK(gs_preempt_grace(&pauses, 1) == 0);
    CHECK(gs_preempt_grace(&pauses, 1001) == 1000 * US);
}

static void the_poll_thread_asks_only_when_nothing_new_came(void)
{
    struct gs_preempt_view view = {.begun = true, .launches = 2, .seen = 1};
    CHECK(gs_preempt_poll_step(&view, fake_now) == GS_PREEMPT_NOTE);
    view.seen = 2;
    CHECK(gs_preempt_poll_step(&view, fake_now) == GS_PREEMPT_ASK);
    view.in_grace = true;
    CHECK(gs_preempt_poll_step(&view, fake_now) == GS_PREEMPT_WAIT);
    view.begun = false;
    CHECK(gs_preempt_poll_step(&view, fake_now) == GS_PREEMPT_WAIT);
}

static void where_the_gpu_cannot_be_asked_time_tells(void)
{
    struct gs_preempt_view view = {.begun = true, .blind = true, .active_at = fake_now};
    CHECK(gs_preempt_poll_step(&view, fake_now + 20 * MS) == GS_PREEMPT_WAIT);
    CHECK(gs_preempt_poll_step(&view, fake_now + 21 * MS) == GS_PREEMPT_END);
}

static void the_timer_thread_ends_a_grace_in_time(void)
{
    struct gs_preempt_view view = {.begun = true,
                                   .in_grace = true,
                                   .begun_at = fake_now,
                                   .grace_until = fake_now + 50 * US};
    CHECK(gs_preempt_timer_step(&view, fake_now) == GS_PREEMPT_WAIT);
    CHECK(gs_preempt_next_timer(&view, fake_now) == view.grace_until);
    CHECK(gs_preempt_timer_step(&view, view.grace_until) == GS_PREEMPT_END);
    view.in_grace = false;
    CHECK(gs_preempt_timer_step(&view, view.grace_until) == GS_PREEMPT_WAIT);
}

static void both_threads_nap_for_a_while_between_busy_periods(void)
{
    const struct gs_preempt_view view = {.begun_at = fake_now};
    CHECK(gs_preempt_next_poll(&view, fake_now + 49 * MS) == fake_now + 50 * MS);
    CHECK(gs_preempt_next_timer(&view, fake_now + 50 * MS) == UINT64_MAX);
}

/* A service in slot 0, a job in slot 1 and one of normal priority in slot 2. */
static struct gs_attachment *service;
static struct gs_share_slot *job;

static void serve(uint32_t grace_us)
{
    fake_reset();
    fake_share(0, GS_HIGH)->policy.grace_us = grace_us;
    job = fake_share(1, GS_LOW);
    fake_share(2, GS_NORMAL);
    service = fake_process(0, 0);
    gs_preempt_forget_streams(service);
}

static void launch(void)
{
    gs_preempt_launch(service, STREAM(0));
}

static void the_first_launch_closes_the_gates_of_jobs(void)
{
    serve(1);
    launch();
    CHECK(job->gate == 1 && fake_page.share_slot[0].gate == 0 && fake_page.share_slot[2].gate == 0);
    CHECK(fake_page.preempt_bits == 1 && service->share->preemptions == 1);
    CHECK(service->process->until_ns == UINT64_MAX && service->process->beat_ns == fake_now);
    launch();
    CHECK(service->share->preemptions == 1);
}

static void the_gates_open_when_the_program_has_waited_for_all_of_it(void)
{
    serve(1);
    launch();
    fake_now += 2 * MS;
    fake_stream_state = CUDA_ERROR_NOT_READY;
    gs_preempt_synced(service);
    CHECK(job->gate == 1);
    fake_stream_state = CUDA_SUCCESS;
    gs_preempt_synced(service);
    CHECK(job->gate == 0 && service->process->until_ns == 0
          && service->share->preempt_ns == 2 * MS);
}

static void launch_while_it_is_asked(void)
{
    fake_on_query = NULL;
    launch();
}

/* The launch finds the gates closed and does nothing; the thread that opens them has to see it. */
static void a_launch_while_the_gates_open_closes_them_again(void)
{
    serve(1);
    launch();
    fake_on_query = launch_while_it_is_asked;
    gs_preempt_synced(service);
    CHECK(job->gate == 1 && service->busy_period.begun && service->share->preemptions == 2);
}

static void a_launch_while_a_grace_begins_ends_it(void)
{
    serve(51);
    launch();
    fake_on_query = launch_while_it_is_asked;
    gs_preempt_synced(service);
    CHECK(service->busy_period.in_grace);
    fake_now += 50 * US;
    gs_preempt_timer_tick(service, fake_now);
    CHECK(job->gate == 1 && !service->busy_period.in_grace && service->share->preemptions == 1);
}

static void launch_at_the_clock(void)
{
    fake_on_clock = NULL;
    __atomic_add_fetch(&service->busy_period.launches, 1, __ATOMIC_SEQ_CST);
}

/* The clock is read between the count of launches and the end. */
static void a_launch_while_the_clock_is_read_closes_them_again(void)
{
    serve(1);
    launch();
    fake_on_clock = launch_at_the_clock;
    gs_preempt_synced(service);
    CHECK(job->gate == 1 && service->share->preemptions == 2);
}

static void a_pause_within_the_grace_is_bridged(void)
{
    serve(51);
    launch();
    gs_preempt_synced(service);
    CHECK(job->gate == 1 && fake_hurries == 1 && service->share->grace_ns == 50 * US);
    fake_now += 30 * US;
    launch();
    CHECK(service->share->preemptions == 1 && service->busy_period.pauses.ns[0] == 30 * US);
    fake_now += 30 * US;
    gs_preempt_timer_tick(service, fake_now);
    CHECK(job->gate == 1);
}

static void the_gates_open_after_the_grace(void)
{
    serve(51);
    launch();
    gs_preempt_synced(service);
    CHECK(gs_preempt_timer_tick(service, fake_now) == fake_now + 50 * US);
    fake_now += 50 * US;
    gs_preempt_timer_tick(service, fake_now);
    CHECK(job->gate == 0 && !service->busy_period.begun);
}

static void the_grace_of_a_service_follows_its_pauses(void)
{
    serve(0);
    for (int i = 0; i < 12; i++) {
        launch();
        gs_preempt_synced(service);
        CHECK(service->share->grace_ns == (i < 8 ? 100 * US : 50 * US));
        fake_now += 40 * US;
    }
    for (int i = 0; i < 64; i++) {
        launch();
        gs_preempt_synced(service);
        fake_now += 10 * MS;
        gs_preempt_timer_tick(service, fake_now);
    }
    CHECK(service->share->grace_ns == 0);
}

static void a_program_that_never_waits_is_asked_about(void)
{
    serve(1);
    launch();
    CHECK(gs_preempt_poll_tick(service, fake_now) == fake_now + 1 * MS); /* notes the launch */
    fake_stream_state = CUDA_ERROR_NOT_READY;
    gs_preempt_poll_tick(service, fake_now);
    CHECK(job->gate == 1);
    fake_stream_state = CUDA_SUCCESS;
    launch();
    gs_preempt_poll_tick(service, fake_now); /* there is a new one */
    CHECK(job->gate == 1);
    gs_preempt_poll_tick(service, fake_now);
    CHECK(job->gate == 0);
}

static void more_streams_than_are_tracked_end_by_time(void)
{
    serve(1);
    for (int i = 0; i <= GS_TRACKED; i++)
        gs_preempt_launch(service, STREAM(i));
    gs_preempt_synced(service);
    gs_preempt_poll_tick(service, fake_now);
    gs_preempt_poll_tick(service, fake_now + 20 * MS);
    CHECK(job->gate == 1);
    gs_preempt_poll_tick(service, fake_now + 21 * MS);
    CHECK(job->gate == 0);
}

static void refuse(void)
{
    CHECK(!"the driver is asked during a capture");
}

static void the_driver_is_not_asked_during_a_capture(void)
{
    serve(1);
    launch();
    gs_captures = 1;
    fake_on_query = refuse;
    gs_preempt_synced(service);
    gs_preempt_poll_tick(service, fake_now);
    gs_preempt_poll_tick(service, fake_now + 1 * MS);
    CHECK(job->gate == 1);
    gs_preempt_poll_tick(service, fake_now + 30 * MS);
    CHECK(job->gate == 0);
}

static void every_stream_has_to_be_idle(void)
{
    serve(1);
    launch();
    gs_preempt_launch(service, STREAM(1));
    CHECK(service->busy_period.count == 2);
    gs_preempt_forget_stream(service, STREAM(0));
    CHECK(service->busy_period.count == 1 && service->busy_period.streams[0] == STREAM(1));
}

static void the_timer_thread_shows_that_the_process_lives(void)
{
    serve(1);
    launch();
    gs_preempt_timer_tick(service, fake_now + 7 * MS);
    CHECK(service->process->beat_ns == fake_now + 7 * MS);
    gs_preempt_synced(service);
    gs_preempt_timer_tick(service, fake_now + 9 * MS);
    CHECK(service->process->beat_ns == fake_now + 7 * MS);
}

static void two_services_have_a_bit_each(void)
{
    serve(1);
    struct gs_attachment *other = fake_process(1, 0);
    launch();
    gs_preempt_launch(other, STREAM(5));
    CHECK(job->gate == 3);
    gs_preempt_synced(service);
    CHECK(job->gate == 2);
    gs_preempt_synced(other);
    CHECK(job->gate == 0);
}

int main(void)
{
    fake_reset();
    a_grace_is_learned_from_eight_pauses_on();
    short_regular_pauses_are_bridged();
    pauses_that_cost_more_than_a_switch_are_not();
    rare_long_pauses_do_not_end_the_grace();
    the_newest_pauses_count();
    a_pause_longer_than_four_seconds_is_long();
    a_grace_can_be_set();
    the_poll_thread_asks_only_when_nothing_new_came();
    where_the_gpu_cannot_be_asked_time_tells();
    the_timer_thread_ends_a_grace_in_time();
    both_threads_nap_for_a_while_between_busy_periods();
    the_first_launch_closes_the_gates_of_jobs();
    the_gates_open_when_the_program_has_waited_for_all_of_it();
    a_launch_while_the_gates_open_closes_them_again();
    a_launch_while_a_grace_begins_ends_it();
    a_launch_while_the_clock_is_read_closes_them_again();
    a_pause_within_the_grace_is_bridged();
    the_gates_open_after_the_grace();
    the_grace_of_a_service_follows_its_pauses();
    a_program_that_never_waits_is_asked_about();
    more_streams_than_are_tracked_end_by_time();
    the_driver_is_not_asked_during_a_capture();
    every_stream_has_to_be_idle();
    the_timer_thread_shows_that_the_process_lives();
    two_services_have_a_bit_each();
    return 0;
}
