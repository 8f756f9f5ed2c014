/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events: order, time, callbacks. Times are lower bounds, independent of speed. */
#include "machine.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { MS = 1000000 };

static void a_kernel_takes_its_time(void)
{
    CUevent start_event, end_event;
    float ms;
    OK(cuEventCreate(&start_event, 0));
    OK(cuEventCreate(&end_event, 0));
    OK(cuEventRecord(start_event, NULL));
    spin(NULL, 50 * MS);
    OK(cuEventRecord(end_event, NULL));
    EQUAL(cuEventQuery(end_event), CUDA_ERROR_NOT_READY);
    EQUAL(cuStreamQuery(NULL), CUDA_ERROR_NOT_READY);
    uint64_t before = gs_now_ns();
    OK(cuEventSynchronize(end_event));
    ASSERT(gs_now_ns() - before > 20 * MS);
    OK(cuStreamQuery(NULL));
    OK(cuEventElapsedTime_v2(&ms, start_event, end_event));
    ASSERT(ms >= 49.9f);
    OK(cuEventDestroy_v2(start_event));
    EQUAL(cuEventDestroy_v2(start_event), CUDA_ERROR_INVALID_HANDLE);
    OK(cuEventDestroy_v2(end_event));
}

static void streams_overlap_and_wait(void)
{
    CUstream a, b;
    CUevent event;
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    uint64_t before = gs_now_ns();
    spin(a, 300 * MS);
    OK(cuEventRecord(event, a));
    spin(b, MS);
    OK(cuStreamSynchronize(b)); /* does not wait for a */
    EQUAL(cuStreamQuery(a), CUDA_ERROR_NOT_READY);
    OK(cuStreamWaitEvent(b, event, 0));
    OK(cuStreamSynchronize(b));
    ASSERT(gs_now_ns() - before >= 300 * MS);
    OK(cuStreamQuery(a));
    OK(cuStreamDestroy_v2(a));
    OK(cuStreamDestroy_v2(b));
    EQUAL(cuStreamSynchronize(a), CUDA_ERROR_INVALID_HANDLE);
    OK(cuEventDestroy_v2(event));
}

static void legacy_stream_orders_blocking_ones(void)
{
    CUstream blocking, free_stream;
    OK(cuStreamCreate(&blocking, 0));
    OK(cuStreamCreate(&free_stream, CU_STREAM_NON_BLOCKING));
    spin(blocking, 200 * MS);
    EQUAL(cuStreamQuery(NULL), CUDA_ERROR_NOT_READY);
    OK(cuStreamQuery(free_stream));
    spin(NULL, MS);
    OK(cuStreamSynchronize(NULL));
    OK(cuStreamQuery(blocking));
    OK(cuStreamDestroy_v2(blocking));
    OK(cuStreamDestroy_v2(free_stream));
}

static void per_thread_stream_is_its_own(void)
{
    uint64_t ns = 200 * MS;
    void *params[] = {&ns};
    OK(cuLaunchKernel_ptsz(kernel("spin"), 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    EQUAL(cuStreamQuery(CU_STREAM_PER_THREAD), CUDA_ERROR_NOT_READY);
    EQUAL(cuStreamQuery_ptsz(NULL), CUDA_ERROR_NOT_READY);
    OK(cuStreamSynchronize_ptsz(NULL));
    OK(cuStreamQuery(NULL));
}

static int order[4], seen;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void note(void *which)
{
    order[seen++] = (int)(intptr_t)which;
}

static void wait_for_gate(void *which)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    note(which);
}

static void host_functions_run_in_order(void)
{
    CUstream stream;
    CUdeviceptr at;
    unsigned char host = 5, got = 0;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc_v2(&at, 1));
    OK(cuMemsetD8_v2(at, 0, 1));
    pthread_mutex_lock(&gate);
    OK(cuLaunchHostFunc(stream, wait_for_gate, (void *)1));
    /* Runs after the callback, so it sees its writes. */
    OK(cuMemcpyHtoDAsync_v2(at, &host, 1, stream));
    OK(cuLaunchHostFunc(stream, note, (void *)2));
    EQUAL(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
    host = 77;
    pthread_mutex_unlock(&gate);
    OK(cuStreamSynchronize(stream));
    EQUAL(seen, 2);
    EQUAL(order[0], 1);
    EQUAL(order[1], 2);
    OK(cuMemcpyDtoH_v2(&got, at, 1));
    EQUAL(got, 77);
    OK(cuMemFree_v2(at));
    OK(cuStreamDestroy_v2(stream));
}

static void call_back(CUstream stream, CUresult status, void *data)
{
    *(int *)data = stream != NULL && status == CUDA_SUCCESS;
}

static void callbacks_get_the_stream(void)
{
    CUstream stream;
    int called = 0;
    OK(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -9));
    int priority;
    OK(cuStreamGetPriority(stream, &priority));
    EQUAL(priority, -5);
    OK(cuStreamAddCallback(stream, call_back, &called, 0));
    OK(cuStreamSynchronize(stream));
    EQUAL(called, 1);
    OK(cuStreamDestroy_v2(stream));
}

static void values_hold_a_stream(void)
{
    CUstream waiter, writer;
    CUdeviceptr flag;
    OK(cuStreamCreate(&waiter, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&writer, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc_v2(&flag, 4));
    OK(cuMemsetD32_v2(flag, 0, 1));
    OK(cuCtxSynchronize());
    OK(cuStreamWaitValue32_v2(waiter, flag, 3, CU_STREAM_WAIT_VALUE_GEQ));
    EQUAL(cuStreamQuery(waiter), CUDA_ERROR_NOT_READY);
    OK(cuStreamWriteValue32_v2(writer, flag, 4, 0));
    OK(cuStreamSynchronize(waiter));
    OK(cuMemFree_v2(flag));
    OK(cuStreamDestroy_v2(waiter));
    OK(cuStreamDestroy_v2(writer));
}

static void builtin_kernels_compute(void)
{
    CUdeviceptr x, y;
    float a = 2, got[4];
    uint64_t n = 1000;
    uint32_t one = 0x3f800000;
    OK(cuMemAlloc_v2(&x, 4000));
    OK(cuMemAlloc_v2(&y, 4000));
    void *fill_x[] = {&x, &one, &n}, *fill_y[] = {&y, &one, &n}, *saxpy[] = {&y, &x, &a, &n};
    OK(cuLaunchKernel(kernel("gs_fill"), 4, 1, 1, 256, 1, 1, 0, NULL, fill_x, NULL));
    OK(cuLaunchKernel(kernel("gs_fill"), 4, 1, 1, 256, 1, 1, 0, NULL, fill_y, NULL));
    OK(cuLaunchKernel(kernel("gs_saxpy"), 4, 1, 1, 256, 1, 1, 0, NULL, saxpy, NULL));
    OK(cuMemcpyDtoH_v2(got, y + 3984, 16));
    EQUAL((int)got[3], 3);
    OK(cuMemFree_v2(x));
    OK(cuMemFree_v2(y));
}

static void bad_launches_are_refused(void)
{
    uint64_t ns = 1;
    void *params[] = {&ns};
    CUfunction function;
    CUmodule module;
    size_t offset, size;
    EQUAL(cuLaunchKernel(kernel("spin"), 0, 1, 1, 1, 1, 1, 0, NULL, params, NULL),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuLaunchKernel(kernel("spin"), 1, 1, 1, 2048, 1, 1, 0, NULL, params, NULL),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL), CUDA_ERROR_INVALID_HANDLE);
    EQUAL(cuLaunchKernel(kernel("spin"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuModuleLoadData(&module, "no module at all"), CUDA_ERROR_INVALID_IMAGE);
    OK(cuModuleLoadData(&module, kernels));
    EQUAL(cuModuleGetFunction(&function, module, "missing"), CUDA_ERROR_NOT_FOUND);
    OK(cuModuleGetFunction(&function, module, "work"));
    OK(cuFuncGetParamInfo(function, 2, &offset, &size));
    EQUAL(offset, 40);
    EQUAL(size, 4);
    CUdeviceptr table;
    OK(cuModuleGetGlobal_v2(&table, &size, module, "table"));
    EQUAL(size, 256);
    OK(cuModuleUnload(module));
}

static void *launch_many(void *ctx)
{
    CUstream stream;
    OK(cuCtxSetCurrent(ctx));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < 500; i++) {
        uint64_t ns = 1000;
        void *params[] = {&ns};
        CUdeviceptr at;
        OK(cuMemAllocAsync(&at, 1000, stream));
        OK(cuLaunchKernel(kernel("spin"), 1, 1, 1, 1, 1, 1, 0, stream, params, NULL));
        OK(cuMemFreeAsync(at, stream));
    }
    OK(cuStreamSynchronize(stream));
    OK(cuStreamDestroy_v2(stream));
    return NULL;
}

static void threads_share_a_context(CUcontext ctx)
{
    pthread_t threads[4];
    kernel("spin");
    for (int i = 0; i < 4; i++)
        ASSERT(pthread_create(&threads[i], NULL, launch_many, ctx) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static CUstream fed;
static int ahead, feeds = 1;

static void feed_on(void *nothing)
{
    usleep(1000);
    __atomic_sub_fetch(&ahead, 1, __ATOMIC_SEQ_CST);
    (void)nothing;
}

/* The queue is never empty. */
static void *feed(void *ctx)
{
    OK(cuCtxSetCurrent(ctx));
    while (__atomic_load_n(&feeds, __ATOMIC_SEQ_CST)) {
        if (__atomic_load_n(&ahead, __ATOMIC_SEQ_CST) > 20) {
            sched_yield();
            continue;
        }
        __atomic_add_fetch(&ahead, 1, __ATOMIC_SEQ_CST);
        OK(cuLaunchHostFunc(fed, feed_on, NULL));
    }
    return NULL;
}

static void waits_are_for_what_came_before(CUcontext ctx)
{
    pthread_t thread;
    OK(cuStreamCreate(&fed, CU_STREAM_NON_BLOCKING));
    ASSERT(pthread_create(&thread, NULL, feed, ctx) == 0);
    while (__atomic_load_n(&ahead, __ATOMIC_SEQ_CST) < 10)
        sched_yield();
    OK(cuStreamSynchronize(fed));
    OK(cuCtxSynchronize());
    ASSERT(__atomic_load_n(&ahead, __ATOMIC_SEQ_CST) > 0);
    __atomic_store_n(&feeds, 0, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    OK(cuStreamSynchronize(fed));
    EQUAL(ahead, 0);
    OK(cuStreamDestroy_v2(fed));
}

int main(void)
{
    machine("gpus=1\n");
    CUcontext ctx = begin();
    a_kernel_takes_its_time();
    streams_overlap_and_wait();
    legacy_stream_orders_blocking_ones();
    per_thread_stream_is_its_own();
    host_functions_run_in_order();
    callbacks_get_the_stream();
    values_hold_a_stream();
    builtin_kernels_compute();
    bad_launches_are_refused();
    threads_share_a_context(ctx);
    waits_are_for_what_came_before(ctx);
    puts("ok: streams");
    return 0;
}
