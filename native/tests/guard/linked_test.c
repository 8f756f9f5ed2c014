/* SPDX-License-Identifier: Apache-2.0 */
/* A program that links libcuda.so.1 directly, as Triton's launchers do. */
#include "check.h"
#include "gs_cuda.h"

__attribute__((constructor)) static void early(void)
{
    CHECK(cuInit(0) == CUDA_SUCCESS);
}

int main(void)
{
    CUcontext context;
    CUdeviceptr a, b;
    size_t total = 0;
    CHECK(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    CHECK(cuCtxSetCurrent(context) == CUDA_SUCCESS);
    CHECK(cuMemAlloc_v2(&a, 40 << 20) == CUDA_SUCCESS);
    CHECK(cuMemAlloc_v2(&b, 40 << 20) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(cuDeviceTotalMem_v2(&total, 0) == CUDA_SUCCESS && total == 64 << 20);
    CHECK(cuMemFree_v2(a) == CUDA_SUCCESS);
    CHECK(cuMemAlloc_v2(&a, 60 << 20) == CUDA_SUCCESS);
    return 0;
}
