/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuMemAlloc() and cuMemFree() with blocks: `cache_test SCENARIO` on a simulated machine, under the
 * guard, in a movable share of 512 MiB.
 */
#include "suspendable.h"

#include <sys/wait.h>

static uint64_t used(void)
{
    return gs_region_used(region, 0) - region->gpu[0].context;
}

static uint64_t cached(void)
{
    return gs_region_cached(region, 0);
}

static CUdeviceptr take(uint64_t bytes)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, bytes));
    return at;
}

static void is_used_again(void)
{
    CUdeviceptr first = take(16 * MIB);
    write_pattern(first, 16 * MIB, 1);
    OK(cuMemFree_v2(first));
    CHECK(cached() == 16 * MIB && used() == 16 * MIB);
    uint64_t charges = number(&region->gpu[0].allocations);
    for (int i = 0; i < 1000; i++) {
        CHECK(take(16 * MIB) == first && cached() == 0);
        OK(cuMemFree_v2(first));
    }
    CHECK(number(&region->gpu[0].allocations) == charges); /* without a charge */
    CHECK(take(16 * MIB - 5) == first);                    /* the same pages */
    CHECK(take(16 * MIB) != first && used() == 32 * MIB);
}

static void small_allocations_share_pages(void)
{
    CUdeviceptr at[100], base;
    size_t size;
    for (int i = 0; i < 100; i++) {
        at[i] = take(100 + (unsigned)i);
        CHECK(at[i] % 256 == 0);
        OK(cuMemsetD8_v2(at[i], (unsigned char)i, 100));
    }
    CHECK(used() == 2 * MIB);
    CHECK(take(MIB) && used() == 2 * MIB);
    CHECK(take(MIB) && used() == 4 * MIB);
    for (int i = 0; i < 100; i++) {
        unsigned char byte;
        OK(cuMemGetAddressRange_v2(&base, &size, at[i] + 50));
        CHECK(base == at[i] && size == 100 + (size_t)i);
        OK(cuMemcpyDtoH_v2(&byte, at[i] + 99, 1));
        CHECK(byte == i);
    }
    OK(cuMemFree_v2(at[50]));
    CHECK(take(140) && used() == 4 * MIB);
    GIVES(cuMemFree_v2(at[10] + 256), CUDA_ERROR_INVALID_VALUE);
}

static void bounded(void)
{
    CUdeviceptr at[8];
    for (int i = 0; i < 8; i++)
        at[i] = take(60 * MIB);
    for (int i = 0; i < 8; i++)
        OK(cuMemFree_v2(at[i]));
    CHECK(cached() <= region->gpu[0].limit / 2 && cached() >= region->gpu[0].limit / 2 - 60 * MIB);
    CHECK(used() == cached());
}

static void makes_room(void)
{
    size_t free, total;
    CUdeviceptr at = take(200 * MIB), other;
    OK(cuMemGetInfo_v2(&free, &total));
    CHECK(free == 312 * MIB);
    OK(cuMemFree_v2(at));
    OK(cuMemGetInfo_v2(&free, &total));
    CHECK(free == 512 * MIB && cached() == 200 * MIB);
    other = take(500 * MIB);
    CHECK(cached() == 0 && used() == 500 * MIB);
    GIVES(cuMemAlloc_v2(&at, 20 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemFree_v2(other));
    GIVES(cuMemAlloc_v2(&at, SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    GIVES(cuMemAlloc_v2(&at, 0), CUDA_ERROR_INVALID_VALUE);
}

static void child_ends_well(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Memory that another process of the share caches is freed when it is needed. */
static void makes_room_for_others(void)
{
    int signal_pipe[2];
    char byte = 1;
    CHECK(pipe(signal_pipe) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(read(signal_pipe[0], &byte, 1) == 1);
        begin();
        CUdeviceptr at = take(300 * MIB);
        write_pattern(at, MIB, 1);
        _exit(0);
    }
    begin();
    OK(cuMemFree_v2(take(150 * MIB)));
    OK(cuMemFree_v2(take(100 * MIB)));
    CHECK(cached() == 250 * MIB && write(signal_pipe[1], &byte, 1) == 1);
    child_ends_well(child);
    CHECK(cached() == 0);
}

static void a_dead_process_caches_nothing(void)
{
    size_t free, total;
    pid_t child = fork();
    if (child == 0) {
        begin();
        OK(cuMemFree_v2(take(100 * MIB)));
        take(MIB);
        _exit(0);
    }
    child_ends_well(child);
    begin();
    OK(cuMemGetInfo_v2(&free, &total));
    CHECK(free == 512 * MIB && cached() == 0);
}

static void pointers_show_allocations(void)
{
    CUdeviceptr at = take(70 * MIB), start = 0;
    size_t size = 0;
    unsigned type = 0, managed = 1, legacy = 0;
    int ordinal = 7;
    unsigned long long id[2];
    CUcontext owner = NULL;
    CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                        CU_POINTER_ATTRIBUTE_RANGE_SIZE,
                                        CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                        CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                        CU_POINTER_ATTRIBUTE_CONTEXT};
    void *values[] = {&start, &size, &type, &managed, &ordinal, &owner};
    OK(cuPointerGetAttributes(6, attributes, values, at + 66 * MIB));
    CHECK(start == at && size == 70 * MIB && type == CU_MEMORYTYPE_DEVICE && !managed
          && ordinal == 0);
    CHECK(owner == context);
    OK(cuPointerGetAttribute(&legacy, CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, at));
    CHECK(legacy == 1);
    OK(cuPointerGetAttribute(&id[0], CU_POINTER_ATTRIBUTE_BUFFER_ID, at));
    OK(cuMemFree_v2(at));
    CHECK(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, 12345)
          != CUDA_SUCCESS);
    CHECK(take(70 * MIB) == at);
    OK(cuPointerGetAttribute(&id[1], CU_POINTER_ATTRIBUTE_BUFFER_ID, at));
    CHECK(id[0] != id[1]);
}

static void wrong_frees_fail(void)
{
    CUdeviceptr at = take(20 * MIB), small = take(100);
    OK(cuMemFree_v2(0));
    GIVES(cuMemFree_v2(at + MIB), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(at));
    GIVES(cuMemFree_v2(at), CUDA_ERROR_INVALID_VALUE);
    GIVES(cuMemFree_v2(small + 512), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(small));
    GIVES(cuMemFree_v2(small), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFreeAsync(take(3 * MIB), NULL));
    CHECK(cached() == 20 * MIB + 2 * MIB + 4 * MIB);
}

static void nothing_is_reused_during_a_capture(void)
{
    CUstream stream;
    CUgraph graph;
    CUdeviceptr at = take(8 * MIB), other;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    fill(at, 1, 8, stream);
    OK(cuMemFree_v2(at));
    CHECK(cached() == 0 && (other = take(8 * MIB)) != at);
    GIVES(cuMemFree_v2(at), CUDA_ERROR_INVALID_VALUE);
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuMemFree_v2(other));
    CHECK(cached() == 16 * MIB);
}

static void pitched(void)
{
    CUdeviceptr at, base;
    size_t pitch, size;
    OK(cuMemAllocPitch_v2(&at, &pitch, 1000, 4000, 4));
    CHECK(pitch == 1024 && at % 512 == 0 && used() == 4 * MIB);
    OK(cuMemGetAddressRange_v2(&base, &size, at));
    CHECK(base == at && size == 4000 * 1024);
    CHECK(cuMemAllocPitch_v2(&base, &pitch, 1000, 4000, 5) != CUDA_SUCCESS);
    OK(cuMemFree_v2(at));
}

static void ends_with_its_context(void)
{
    CUcontext second;
    CUdeviceptr first = take(20 * MIB);
    OK(cuCtxCreate_v2(&second, 0, 0));
    take(30 * MIB);
    take(5);
    OK(cuMemFree_v2(take(40 * MIB)));
    OK(cuCtxDestroy_v2(second));
    CHECK(used() == 20 * MIB && cached() == 0);
    OK(cuCtxSetCurrent(context));
    write_pattern(first, 20 * MIB, 3);
    OK(cuDevicePrimaryCtxReset_v2(0));
    CHECK(gs_region_used(region, 0) == 0 && number(&slot()->movable) == 0);
}

static const struct scenario scenarios[] = {
    {"is_used_again", is_used_again, false},
    {"small_allocations_share_pages", small_allocations_share_pages, false},
    {"bounded", bounded, false},
    {"makes_room", makes_room, false},
    {"makes_room_for_others", makes_room_for_others, true},
    {"a_dead_process_caches_nothing", a_dead_process_caches_nothing, true},
    {"pointers_show_allocations", pointers_show_allocations, false},
    {"wrong_frees_fail", wrong_frees_fail, false},
    {"nothing_is_reused_during_a_capture", nothing_is_reused_during_a_capture, false},
    {"pitched", pitched, false},
    {"ends_with_its_context", ends_with_its_context, false},
};

int main(int count, char **arguments)
{
    return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, count, arguments);
}
