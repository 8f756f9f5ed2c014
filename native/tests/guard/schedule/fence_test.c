/* SPDX-License-Identifier: Apache-2.0 */
/* The gate in front of a launch: when a fence is put, when the host waits, and when neither. */
#include "fakes.h"
#include "driver/capture_state.h"
#include "schedule/decide/preempt.h"
#include "schedule/fence_step.h"
#include "schedule/gate.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/cost_model.h"

static void a_fence_comes_before_the_quantum_is_exceeded(void)
{
    CHECK(!gs_fence_step(100, 50, 150, true).fence
          && gs_fence_step(100, 50, 150, true).load == 150);
    CHECK(gs_fence_step(101, 50, 150, true).fence && gs_fence_step(101, 50, 150, true).load == 50);
}

static void an_unknown_launch_fills_a_quantum(void)
{
    CHECK(!gs_fence_step(0, 0, 150, true).fence);
    CHECK(gs_fence_step(1, 0, 150, true).fence && gs_fence_step(1, 0, 150, true).load == 150);
}

static void without_a_gate_on_the_gpu_there_is_no_fence(void)
{
    CHECK(!gs_fence_step(1000, 50, 150, false).fence
          && gs_fence_step(1000, 50, 150, false).load == 1050);
}

static struct gs_attachment *job, *service;

static void start(enum gs_rank rank)
{
    fake_reset();
    gs_cost_model_forget();
    gs_completions_forget();
    fake_share(0, GS_HIGH)->policy.grace_us = 1;
    fake_share(1, rank);
    service = fake_process(0, 0);
    job = fake_process(1, 1);
    gs_preempt_forget_streams(service);
}

static struct gs_pass launch(CUresult result)
{
    struct gs_pass pass = {.stream = STREAM(0), .key = gs_kind("kernel", 1)};
    gs_gate_wait(pass.stream);
    gs_gate_before(&pass);
    CHECK(job->process->busy == (pass.attachment != NULL));
    gs_gate_after(&pass, result);
    CHECK(job->process->busy == 0);
    return pass;
}

static void alone_nothing_is_put_into_the_streams(void)
{
    start(GS_LOW);
    CHECK(!launch(CUDA_SUCCESS).attachment);
    CHECK(fake_fences == 0 && fake_records == 0 && job->share->launches == 1
          && job->share->fences == 0);
}

static void a_job_gets_fences_next_to_high_priority_work(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    for (int i = 0; i < 3; i++)
        CHECK(launch(CUDA_SUCCESS).attachment == job);
    CHECK(fake_fences == 3 && job->share->fences == 3 && job->share->waits == 0);
    CHECK(job->newest_stream == STREAM(0));
}

static void short_launches_share_a_quantum(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    for (int i = 0; i < 8; i++) { /* each takes 30 us */
        struct gs_pass pass = {.stream = STREAM(0), .key = gs_kind("kernel", 1)};
        fake_work_ends = fake_now;
        gs_gate_before(&pass);
        fake_work_ends = fake_now += 30 * US;
        gs_gate_after(&pass, CUDA_SUCCESS);
    }
    int before = fake_fences;
    for (int i = 0; i < 50; i++)
        launch(CUDA_SUCCESS);
    CHECK(fake_fences - before == 10 && job->share->busy_ns > 50 * 30 * US);
}

static void a_stream_under_capture_gets_no_fence(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    job->share->policy.limit = 5000;
    job->share->gate = GS_CLOSED_TURN; /* it would wait for its turn */
    gs_captures = 1;
    fake_capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    CHECK(!launch(CUDA_SUCCESS).attachment);
    CHECK(fake_fences == 0 && fake_records == 0 && job->share->launches == 0
          && job->share->waits == 0);
}

static void another_stream_during_a_capture_does(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    gs_captures = 1;
    CHECK(launch(CUDA_SUCCESS).attachment == job && fake_fences == 1 && fake_records == 0);
}

static void a_driver_that_cannot_wait_leaves_it_to_the_host(void)
{
    static const CUresult refusals[] = {CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_INVALID_VALUE};
    for (int i = 0; i < 2; i++) {
        start(GS_LOW);
        fake_page.preempt_bits = 1;
        fake_fence_result = refusals[i];
        launch(CUDA_SUCCESS);
        CHECK(job->gate == 0);
        launch(CUDA_SUCCESS);
        CHECK(job->fences == 1);
    }
}

static void another_error_does_not(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    fake_fence_result = CUDA_ERROR_ILLEGAL_ADDRESS;
    launch(CUDA_SUCCESS);
    CHECK(job->gate != 0);
}

static int looks;

/* A third look at the clock is one of a launch that waits. */
static void open_later(void)
{
    CHECK(job->process->busy == 1 || looks < 2);
    if (looks++ == 3) {
        fake_on_clock = NULL;
        job->share->gate = 0;
    }
    fake_now += 1 * MS;
}

static void wait_for(uint32_t gate)
{
    job->share->gate = gate;
    looks = 0;
    fake_on_clock = open_later;
    gs_gate_wait(STREAM(0));
    CHECK(fake_on_clock == NULL && job->share->waits == 1 && job->share->waited_ns >= 2 * MS);
    CHECK(job->process->busy == 0 && job->process->want_ns >= 10000 * MS);
}

static void the_host_waits_for_a_turn(void)
{
    start(GS_NORMAL);
    job->share->policy.limit = 5000;
    wait_for(GS_CLOSED_TURN);
}

static void the_host_waits_where_the_gpu_cannot(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    job->gate = 0;
    wait_for(1);
}

static void the_host_does_not_wait_for_what_the_gpu_waits_for(void)
{
    start(GS_LOW);
    fake_page.preempt_bits = 1;
    job->share->gate = 1;
    gs_gate_wait(STREAM(0));
    CHECK(job->share->waits == 0);
}

static void a_launch_of_high_rank_closes_gates(void)
{
    start(GS_LOW);
    fake_is_here(service);
    struct gs_pass pass = {.stream = STREAM(0), .key = 1};
    gs_gate_before(&pass);
    CHECK(!pass.attachment && job->share->gate == 1 && service->share->launches == 1);
    gs_gate_sync_ended(NULL);
    CHECK(job->share->gate == 0);
}

static void a_copy_of_high_rank_closes_them_too(void)
{
    start(GS_LOW);
    fake_is_here(service);
    gs_gate_copies(STREAM(0));
    CHECK(job->share->gate == 1 && service->share->preemptions == 1
          && service->share->launches == 1);
}

static void a_copy_of_low_rank_is_counted_only(void)
{
    start(GS_LOW);
    gs_gate_copies(STREAM(0));
    CHECK(job->share->launches == 1 && fake_page.preempt_bits == 0);
}

static void a_captured_copy_closes_nothing(void)
{
    start(GS_LOW);
    fake_is_here(service);
    gs_captures = 1;
    fake_capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    gs_gate_copies(STREAM(0));
    CHECK(job->share->gate == 0 && service->share->launches == 0);
}

static void copies_are_split_next_to_high_priority_work_only(void)
{
    start(GS_LOW);
    CHECK(!gs_gate_splits(STREAM(0)));
    fake_page.preempt_bits = 1;
    CHECK(gs_gate_splits(STREAM(0)));
    gs_captures = 1;
    fake_capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    CHECK(!gs_gate_splits(STREAM(0)));
}

static void a_wait_for_the_gpu_is_a_wish(void)
{
    start(GS_NORMAL);
    fake_page.turns = 1;
    CUstream stream = STREAM(0);
    fake_stream_state = CUDA_ERROR_NOT_READY;
    struct gs_attachment *begun = gs_gate_sync_begins(&stream);
    CHECK(begun == job && job->process->busy == 1 && job->process->want_ns == fake_now);
    CHECK(fake_records == 1); /* the end of what it waits for */
    gs_gate_sync_ended(begun);
    CHECK(job->process->busy == 0);
}

static void high_rank_without_a_limit_waits_for_no_turn(void)
{
    start(GS_LOW);
    fake_is_here(service);
    fake_page.turns = 1;
    service->share->gate = GS_CLOSED_TURN;
    gs_gate_wait(STREAM(0));
    CHECK(service->share->waits == 0 && !gs_gate_sync_begins(NULL));
}

static void a_program_without_a_page_is_left_alone(void)
{
    start(GS_LOW);
    fake_is_here(NULL);
    struct gs_pass pass = {.stream = STREAM(0), .key = 1};
    gs_gate_wait(STREAM(0));
    gs_gate_before(&pass);
    gs_gate_copies(STREAM(0));
    gs_gate_sync_ended(gs_gate_sync_begins(NULL));
    CHECK(!pass.attachment && !gs_gate_splits(STREAM(0)) && job->share->launches == 0);
}

int main(void)
{
    a_fence_comes_before_the_quantum_is_exceeded();
    an_unknown_launch_fills_a_quantum();
    without_a_gate_on_the_gpu_there_is_no_fence();
    alone_nothing_is_put_into_the_streams();
    a_job_gets_fences_next_to_high_priority_work();
    short_launches_share_a_quantum();
    a_stream_under_capture_gets_no_fence();
    another_stream_during_a_capture_does();
    a_driver_that_cannot_wait_leaves_it_to_the_host();
    another_error_does_not();
    the_host_waits_for_a_turn();
    the_host_waits_where_the_gpu_cannot();
    the_host_does_not_wait_for_what_the_gpu_waits_for();
    a_launch_of_high_rank_closes_gates();
    a_copy_of_high_rank_closes_them_too();
    a_copy_of_low_rank_is_counted_only();
    a_captured_copy_closes_nothing();
    copies_are_split_next_to_high_priority_work_only();
    a_wait_for_the_gpu_is_a_wish();
    high_rank_without_a_limit_waits_for_no_turn();
    a_program_without_a_page_is_left_alone();
    return 0;
}
