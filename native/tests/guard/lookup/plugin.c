/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in that is linked with the driver. It prints the total memory that it sees and what it could
 * allocate of twice as much, in MiB; its constructor uses the driver before anyone could look at it.
 */
#include <stdio.h>

#include "gs_cuda.h"

#define MIB (1ull << 20)

static size_t total_early;

__attribute__((constructor)) static void start(void)
{
    CUcontext context;
    size_t free;
    if (cuInit(0) == CUDA_SUCCESS && cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS
        && cuCtxSetCurrent(context) == CUDA_SUCCESS)
        cuMemGetInfo_v2(&free, &total_early);
}

__attribute__((visibility("default"))) int use_gpu(void)
{
    size_t free = 0, total = 0, got = 0;
    CUdeviceptr at;
    cuMemGetInfo_v2(&free, &total);
    while (got < 2 * total_early && cuMemAlloc_v2(&at, 16 * MIB) == CUDA_SUCCESS)
        got += 16 * MIB;
    printf("%zu %zu %zu\n", (size_t)(total_early / MIB), (size_t)(total / MIB),
           (size_t)(got / MIB));
    fflush(stdout); /* in a namespace of its own, the C library does not end with the program */
    return 0;
}
