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

static void processes_share_time_slices(void)
{
    other a = start("busy");
    EQUAL(hear(a.from), 1);
    EQUAL(taken(20 * MS) / MS, 40);
    other b = start("busy");
    EQUAL(hear(b.from), 1);
    EQUAL((taken(20 * MS) + 1000) / MS, 60);
    EQUAL(finish(&a), 0);
    EQUAL(finish(&b), 0);
    gs_image_lock(image());
    gs_image_reap(image());
    gs_image_unlock(image());
    EQUAL(taken(20 * MS), 20 * MS);
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
        return strcmp(argv[1], "busy") == 0 ? role_busy() : 2;
    machine("gpus=1\n");
    begin();
    alone_a_kernel_lasts_its_duration();
    processes_share_time_slices();
    utilization_is_the_busy_fraction_of_time();
    a_kernel_that_fills_the_gpu_waits_for_another();
    puts("ok: timeline");
    return 0;
}
