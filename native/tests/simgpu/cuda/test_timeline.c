/* SPDX-License-Identifier: Apache-2.0 */
/* When kernels start and end. All times are those of the timeline, so speed does not matter. */
#include "machine.h"
#include "machine/slot.h"

enum { MS = 1000000 };

static int role_busy(void)
{
    begin();
    spin(NULL, 3600ull * 1000 * MS);
    say(1, 1);
    return read(0, &(long long){0}, 8) > 0; /* until the parent closes the pipe */
}

/* Nanoseconds of GPU time that a spin of `ns` took, according to the machine. */
static uint64_t taken(uint64_t ns)
{
    gs_image_lock(image());
    const gs_slot *mine = gs_slot_of(image(), getpid());
    uint64_t before = mine->use[0].busy.total_ns;
    gs_image_unlock(image());
    spin(NULL, ns);
    OK(cuCtxSynchronize());
    gs_image_lock(image());
    uint64_t after = mine->use[0].busy.total_ns;
    gs_image_unlock(image());
    return after - before;
}

static void alone_a_kernel_lasts_its_duration(void)
{
    EQUAL(taken(20 * MS), 20 * MS);
}

/* Slices and changes of the GPU so far. */
static gs_turn turn(void)
{
    gs_image_lock(image());
    gs_turn now = image()->devices[0].turn;
    gs_image_unlock(image());
    return now;
}

static void alone_there_is_one_slice_and_no_change(void)
{
    gs_turn now = turn();
    EQUAL(now.changes, 0);
    EQUAL(now.slices, 1);
}

/*
 * With slices of 2048 µs, 20 ms are 9.8 slices. n others get 10 or 9 slices between them, by how
 * long the first of them keeps the GPU, and every change costs 165 µs.
 */
static void check_slices(uint64_t others)
{
    gs_turn before = turn();
    uint64_t ns = taken(20 * MS), pause = others * (2048 + 165) + 165;
    gs_turn after = turn();
    EQUAL(after.changes - before.changes, 10);
    EQUAL(after.slices - before.slices, 10);
    ASSERT(ns > 20 * MS + 9 * pause * 1000);
    ASSERT(ns <= 20 * MS + (9 * pause + 2048 + 165) * 1000);
}

static void processes_share_time_slices_and_pay_for_changes(void)
{
    other a = start("busy");
    EQUAL(hear(a.from), 1);
    check_slices(1);
    other b = start("busy");
    EQUAL(hear(b.from), 1);
    check_slices(2);
    EQUAL(finish(&a), 0);
    EQUAL(finish(&b), 0);
    gs_image_lock(image());
    gs_image_reap(image());
    gs_image_unlock(image());
    EQUAL(taken(20 * MS), 20 * MS);
}

static int role_once(void)
{
    begin();
    spin(NULL, MS);
    OK(cuCtxSynchronize());
    return 0;
}

static void the_gpu_comes_back_from_an_ended_process_at_a_price(void)
{
    other a = start("once");
    EQUAL(finish(&a), 0);
    gs_turn before = turn();
    EQUAL(taken(MS), MS + 165 * 1000);
    EQUAL(turn().changes - before.changes, 1);
    EQUAL(taken(MS), MS);
}

static void lengths_are_the_machines(void)
{
    image()->devices[0].slice_us = 10000;
    image()->devices[0].change_us = 0;
    other a = start("busy");
    EQUAL(hear(a.from), 1);
    gs_turn before = turn();
    uint64_t ns = taken(40 * MS);
    EQUAL(turn().changes - before.changes, 4);
    ASSERT(ns > 70 * MS && ns <= 80 * MS);
    EQUAL(finish(&a), 0);
}

static void a_turn_goes_on_in_the_next_kernel(void)
{
    other a = start("busy");
    EQUAL(hear(a.from), 1);
    gs_turn before = turn();
    for (int i = 0; i < 20; i++)
        spin(NULL, 2 * MS); /* as one kernel of 40 ms */
    OK(cuCtxSynchronize());
    EQUAL(turn().changes - before.changes, 4);
    EQUAL(finish(&a), 0);
}

static void utilization_is_the_busy_fraction_of_time(void)
{
    gs_busy busy = {0};
    uint64_t second = 1000 * (uint64_t)MS, t = 1000 * second;
    gs_busy_add(&busy, t, t + second / 2);
    EQUAL(gs_busy_in(&busy, t, t + second), second / 2);
    gs_busy_add(&busy, t + second / 4, t + second / 2); /* parallel work counts once */
    EQUAL(gs_busy_in(&busy, t, t + second), second / 2);
    gs_busy_add(&busy, t + second, t + 5 * second); /* continues in the future */
    EQUAL(gs_busy_in(&busy, t + second, t + second + second / 2), second / 2);
    EQUAL(gs_busy_in(&busy, t + second / 2, t + second + second / 2), second / 2);
    EQUAL(busy.total_ns, second / 2 + 4 * second);
    EQUAL(gs_busy_in(&busy, t - second, t), 0);
}

static void a_kernel_that_fills_the_gpu_waits_for_another(void)
{
    CUstream a, b;
    CUevent first, last;
    float ms;
    uint64_t ns = 20 * MS;
    void *params[] = {&ns};
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&first, 0));
    OK(cuEventCreate(&last, 0));
    OK(cuLaunchKernel(kernel("spin"), 10000, 1, 1, 1024, 1, 1, 0, a, params, NULL));
    OK(cuLaunchKernel(kernel("spin"), 10000, 1, 1, 1024, 1, 1, 0, b, params, NULL));
    OK(cuEventRecord(first, a));
    OK(cuEventRecord(last, b));
    OK(cuCtxSynchronize());
    OK(cuEventElapsedTime_v2(&ms, first, last));
    ASSERT(ms > 19.9f);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "busy") == 0 ? role_busy() : role_once();
    machine("gpus=1\n");
    begin();
    alone_a_kernel_lasts_its_duration();
    alone_there_is_one_slice_and_no_change();
    processes_share_time_slices_and_pay_for_changes();
    utilization_is_the_busy_fraction_of_time();
    a_kernel_that_fills_the_gpu_waits_for_another();
    the_gpu_comes_back_from_an_ended_process_at_a_price();
    lengths_are_the_machines();
    a_turn_goes_on_in_the_next_kernel();
    puts("ok: timeline");
    return 0;
}
