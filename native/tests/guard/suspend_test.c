/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspending and resuming: `suspend_test SCENARIO` on a simulated machine, under the guard, in a
 * movable share of 512 MiB.
 */
#include "suspendable.h"

#include <pthread.h>
#include <sys/wait.h>

enum { WORKERS = 2, STATIC = 5, ELEMENTS = 4096 };

static bool stop;
static uint64_t rounds;

/*
 * Adds 1 to every element, again and again and in order, and checks every 16 rounds that none is
 * lost.
 */
static void *work(void *nothing)
{
    CUdeviceptr x, y;
    CUstream stream;
    float values[ELEMENTS], expected = 0;
    uint32_t one_bits;
    memcpy(&one_bits, &(float){1}, 4);
    OK(cuCtxSetCurrent(context));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc_v2(&x, sizeof values));
    OK(cuMemAlloc_v2(&y, 3 * MIB));
    fill(x, one_bits, ELEMENTS, stream);
    fill(y, 0, ELEMENTS, stream);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 16; i++, expected++)
            saxpy(y, x, 1, ELEMENTS, stream);
        OK(cuMemcpyDtoHAsync_v2(values, y, sizeof values, stream));
        OK(cuStreamSynchronize(stream));
        for (int i = 0; i < ELEMENTS; i++)
            CHECK(values[i] == expected);
        CUdeviceptr other;
        OK(cuMemAlloc_v2(&other, 5 * MIB));
        OK(cuMemsetD8Async(other, 7, 5 * MIB, stream));
        OK(cuMemFree_v2(other));
        __atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
    }
    OK(cuMemFree_v2(x));
    OK(cuMemFree_v2(y));
    return nothing;
}

static void cycle_through(int cycles)
{
    static const uint64_t size[STATIC] = {66 * MIB, 20 * MIB, 2 * MIB, 4096, 777 * 8};
    CUdeviceptr at[STATIC];
    pthread_t worker[WORKERS];
    unsigned seed = 3;
    for (int i = 0; i < STATIC; i++) {
        OK(cuMemAlloc_v2(&at[i], size[i]));
        write_pattern(at[i], size[i], (uint64_t)i << 40);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&worker[i], NULL, work, NULL);
    for (int cycle = 0; cycle < cycles; cycle++) {
        uint64_t before = number(&rounds);
        CHECK(suspend(rand_r(&seed) % 3 ? 0 : rand_r(&seed) % 60 * MIB) == GS_NO_FAILURE);
        CHECK(number(&slot()->away) > 0);
        CHECK(resume() == GS_NO_FAILURE && number(&slot()->away) == 0);
        while (cycle % 10 == 0 && number(&rounds) < before + 4)
            usleep(1000);
        for (int i = 0; cycle % 10 == 0 && i < STATIC; i++)
            check_pattern(at[i], size[i], (uint64_t)i << 40);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(worker[i], NULL);
}

static void cycles(void)
{
    cycle_through(100);
}

static void some_cycles(void)
{
    cycle_through(10);
}

/* While the process is suspended its memory is off the GPU, and charged as before. */
static void gives_its_memory_up(void)
{
    CUdeviceptr at;
    size_t before, away, total;
    OK(cuMemAlloc_v2(&at, 200 * MIB));
    write_pattern(at, 200 * MIB, 1);
    OK(cuMemGetInfo_v2(&before, &total));
    CHECK(suspend(0) == GS_NO_FAILURE);
    CHECK(number(&slot()->away) == 200 * MIB && number(&slot()->moved) == 200 * MIB);
    OK(cuMemGetInfo_v2(&away, &total)); /* this query does not wait */
    CHECK(away == before); /* the charges stay */
    CHECK(number(&slot()->out_ns) > 0 && number(&slot()->host) >= 200 * MIB);
    CHECK(resume() == GS_NO_FAILURE && number(&slot()->moved) == 200 * MIB);
    check_pattern(at, 200 * MIB, 1);
}

static void keeps_a_part(void)
{
    CUdeviceptr a, b;
    OK(cuMemAlloc_v2(&a, 64 * MIB));
    OK(cuMemAlloc_v2(&b, 128 * MIB));
    write_pattern(a, 64 * MIB, 1);
    write_pattern(b, 128 * MIB, 2);
    uint64_t used = gs_region_used(region, 0);
    CHECK(suspend(used / 2) == GS_NO_FAILURE);
    uint64_t away = number(&slot()->away);
    CHECK(away > 0 && away < 192 * MIB && 192 * MIB - away <= used / 2);
    CHECK(resume() == GS_NO_FAILURE && number(&slot()->moved) == away);
    check_pattern(a, 64 * MIB, 1);
    check_pattern(b, 128 * MIB, 2);
}

/* Memory that no thread could change is not copied a second time. */
static void copies_nothing_twice(void)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, 130 * MIB));
    write_pattern(at, 130 * MIB, 5);
    CHECK(suspend(0) == GS_NO_FAILURE && number(&slot()->moved) == 130 * MIB);
    CHECK(resume() == GS_NO_FAILURE);
    usleep(50000);
    CHECK(suspend(0) == GS_NO_FAILURE && number(&slot()->moved) == 0
          && number(&slot()->away) == 130 * MIB);
    CHECK(resume() == GS_NO_FAILURE);
    check_pattern(at, 130 * MIB, 5);
    write_pattern(at + 70 * MIB, MIB, 9);
    CHECK(suspend(0) == GS_NO_FAILURE && number(&slot()->moved) == 130 * MIB);
    CHECK(resume() == GS_NO_FAILURE);
    check_pattern(at, 70 * MIB, 5);
    check_pattern(at + 70 * MIB, MIB, 9);
}

static CUgraph graph_of(CUdeviceptr y, CUdeviceptr x, float a)
{
    CUstream stream;
    CUgraph graph;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    saxpy(y, x, a, ELEMENTS, stream);
    OK(cuStreamEndCapture(stream, &graph));
    return graph;
}

static void graphs_hold_addresses(void)
{
    CUdeviceptr x, y;
    CUgraphExec exec;
    float values[ELEMENTS];
    uint32_t one_bits;
    memcpy(&one_bits, &(float){1}, 4);
    OK(cuMemAlloc_v2(&x, sizeof values));
    OK(cuMemAlloc_v2(&y, 30 * MIB));
    fill(x, one_bits, ELEMENTS, NULL);
    fill(y, 0, ELEMENTS, NULL);
    OK(cuGraphInstantiateWithFlags(&exec, graph_of(y, x, 2), 0));
    for (int i = 0; i < 5; i++) {
        OK(cuGraphLaunch(exec, NULL));
        CHECK(suspend(0) == GS_NO_FAILURE);
        CHECK(resume() == GS_NO_FAILURE);
    }
    OK(cuMemcpyDtoH_v2(values, y, sizeof values));
    for (int i = 0; i < ELEMENTS; i++)
        CHECK(values[i] == 10);
}

static void waits_for_work(void)
{
    CUdeviceptr at;
    uint64_t ns = 200000000;
    void *parameters[] = {&ns};
    OK(cuMemAlloc_v2(&at, 4 * MIB));
    OK(cuLaunchKernel(spin_kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    fill(at, 77, MIB, NULL);
    CHECK(suspend(0) == GS_NO_FAILURE);
    CHECK(number(&slot()->out_ns) > 100000000);
    CHECK(resume() == GS_NO_FAILURE);
    uint32_t value;
    OK(cuMemcpyDtoH_v2(&value, at + 4 * MIB - 4, 4));
    CHECK(value == 77);
}

static void ended(void *flag)
{
    __atomic_store_n((bool *)flag, true, __ATOMIC_SEQ_CST);
}

static void streams_with_host_functions(void)
{
    CUdeviceptr at;
    bool called = false;
    uint64_t ns = 30000000;
    void *parameters[] = {&ns};
    OK(cuMemAlloc_v2(&at, 4 * MIB));
    OK(cuLaunchKernel(spin_kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    OK(cuLaunchHostFunc(NULL, ended, &called));
    CHECK(suspend(0) == GS_NO_FAILURE);
    CHECK(__atomic_load_n(&called, __ATOMIC_SEQ_CST));
    CHECK(resume() == GS_NO_FAILURE);
}

/* A capture stays valid, and so do the addresses in it. */
static void a_capture_is_awaited(void)
{
    CUdeviceptr x, y, freed;
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    OK(cuMemAlloc_v2(&x, 4 * MIB));
    OK(cuMemAlloc_v2(&y, 4 * MIB));
    OK(cuMemAlloc_v2(&freed, 4 * MIB));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK(gpushare_region_suspend(getenv("GPUSHARE_REGION"), 0) == 0);
    usleep(100000);
    CHECK(word(&slot()->phase) == GS_LEAVES);
    fill(x, 5, 10, stream);
    OK(cuMemFree_v2(freed));
    OK(cuStreamEndCapture(stream, &graph));
    await_answer();
    CHECK(word(&slot()->phase) == GS_AWAY);
    CHECK(resume() == GS_NO_FAILURE);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    uint32_t value;
    OK(cuMemcpyDtoH_v2(&value, x, 4));
    CHECK(value == 5);
}

/* Calls of a suspended process wait; queries do not. */
static void *late(void *at)
{
    uint32_t value = 0;
    OK(cuCtxSetCurrent(context));
    OK(cuMemcpyDtoH_v2(&value, *(CUdeviceptr *)at, 4));
    CHECK(value == 3);
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void calls_wait(void)
{
    CUdeviceptr at, base;
    size_t size;
    pthread_t thread;
    OK(cuMemAlloc_v2(&at, 10 * MIB));
    fill(at, 3, MIB, NULL);
    CHECK(suspend(0) == GS_NO_FAILURE);
    pthread_create(&thread, NULL, late, &at);
    usleep(100000);
    CHECK(!__atomic_load_n(&stop, __ATOMIC_SEQ_CST));
    OK(cuMemGetAddressRange_v2(&base, &size, at + 5));
    CHECK(base == at && size == 10 * MIB);
    CHECK(resume() == GS_NO_FAILURE);
    pthread_join(thread, NULL);
}

static void awaits(void *flag)
{
    while (!__atomic_load_n((bool *)flag, __ATOMIC_SEQ_CST))
        usleep(1000);
}

/* Work that waits for the program, which is kept out, would never end. */
static void can_be_given_up(void)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, 10 * MIB));
    OK(cuLaunchHostFunc(NULL, awaits, &stop));
    CHECK(gpushare_region_suspend(getenv("GPUSHARE_REGION"), 0) == 0);
    usleep(100000);
    CHECK(word(&slot()->phase) == GS_LEAVES);
    CHECK(gpushare_region_resume(getenv("GPUSHARE_REGION")) == 0);
    OK(cuMemAlloc_v2(&at, 10 * MIB));
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    await_answer();
    suspend_and_resume();
}

/* The child of a fork has none of it and initialises CUDA again. */
static void children_start_afresh(void)
{
    pid_t child = fork();
    if (child == 0) {
        CUdeviceptr at;
        begin();
        OK(cuMemAlloc_v2(&at, 30 * MIB));
        write_pattern(at, 30 * MIB, 8);
        CHECK(suspend(0) == GS_NO_FAILURE);
        CHECK(resume() == GS_NO_FAILURE);
        check_pattern(at, 30 * MIB, 8);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static const struct scenario scenarios[] = {
    {"cycles", cycles, false},
    {"some_cycles", some_cycles, false},
    {"gives_its_memory_up", gives_its_memory_up, false},
    {"keeps_a_part", keeps_a_part, false},
    {"copies_nothing_twice", copies_nothing_twice, false},
    {"graphs_hold_addresses", graphs_hold_addresses, false},
    {"waits_for_work", waits_for_work, false},
    {"streams_with_host_functions", streams_with_host_functions, false},
    {"a_capture_is_awaited", a_capture_is_awaited, false},
    {"calls_wait", calls_wait, false},
    {"can_be_given_up", can_be_given_up, false},
    {"children_start_afresh", children_start_afresh, true},
};

int main(int count, char **arguments)
{
    return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, count, arguments);
}
