/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of several programs that allocate from one share at its limit, in every way and from several
 * threads, until it is killed. Prints a line when it begins; ends with 1 on any result but success
 * and out of memory.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

#include "check.h"
#include "gs_cuda.h"

#define MIB (1ull << 20)

enum { THREADS = 3, HELD = 4 };

static CUcontext context;
static CUmemoryPool pool;

static bool allowed(CUresult result)
{
    CHECK(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
    return result == CUDA_SUCCESS;
}

static void linear(uint64_t bytes)
{
    CUdeviceptr held[HELD];
    int count = 0;
    while (count < HELD && allowed(cuMemAlloc_v2(&held[count], bytes)))
        count++;
    sched_yield();
    while (count-- > 0)
        CHECK(cuMemFree_v2(held[count]) == CUDA_SUCCESS);
}

static void pooled(uint64_t bytes)
{
    CUdeviceptr pointer;
    CUmemoryPool named = bytes & MIB ? pool : NULL;
    CUresult result = named ? cuMemAllocFromPoolAsync(&pointer, bytes, named, NULL)
                            : cuMemAllocAsync(&pointer, bytes, NULL);
    if (!allowed(result))
        return;
    CHECK(cuMemFreeAsync(pointer, NULL) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(NULL) == CUDA_SUCCESS);
}

static void mapped(uint64_t bytes)
{
    CUdeviceptr at;
    CUmemGenericAllocationHandle handle;
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    bytes = (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    if (!allowed(cuMemCreate(&handle, bytes, &properties, 0)))
        return;
    CHECK(cuMemAddressReserve(&at, bytes, 0, 0, 0) == CUDA_SUCCESS);
    CHECK(cuMemMap(at, bytes, 0, handle, 0) == CUDA_SUCCESS);
    CHECK(cuMemRelease(handle) == CUDA_SUCCESS);
    sched_yield();
    CHECK(cuMemUnmap(at, bytes) == CUDA_SUCCESS);
    CHECK(cuMemAddressFree(at, bytes) == CUDA_SUCCESS);
}

static void *fight(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    CHECK(cuCtxSetCurrent(context) == CUDA_SUCCESS);
    for (;;) {
        uint64_t bytes = (uint64_t)(rand_r(&seed) % 90 + 1) * MIB;
        switch (rand_r(&seed) % 3) {
        case 0: linear(bytes); break;
        case 1: pooled(bytes); break;
        default: mapped(bytes); break;
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    CHECK(count == 2);
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CHECK(cuInit(0) == CUDA_SUCCESS);
    while (!allowed(cuDevicePrimaryCtxRetain(&context, 0)))
        sched_yield();
    CHECK(cuMemPoolCreate(&pool, &properties) == CUDA_SUCCESS);
    CHECK(write(STDOUT_FILENO, "fights\n", 7) == 7);
    for (int t = 0; t < THREADS; t++) {
        seeds[t] = (unsigned)atoi(arguments[1]) * 100 + (unsigned)t;
        pthread_create(&threads[t], NULL, fight, &seeds[t]);
    }
    pthread_join(threads[0], NULL);
    return 0;
}
