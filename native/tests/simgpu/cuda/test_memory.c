/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: every allocation is counted, bytes are real, and the size of the GPU is the limit. */
#include "machine.h"

static void counts_in_granules(void)
{
    CUdeviceptr a, b, c;
    uint64_t before = used(0);
    OK(cuMemAlloc_v2(&a, 3 * MiB));
    EQUAL(used(0) - before, 4 * MiB);
    OK(cuMemAlloc_v2(&b, 100));
    OK(cuMemAlloc_v2(&c, 100));
    ASSERT(b != c);
    EQUAL(used(0) - before, 6 * MiB);
    OK(cuMemFree_v2(b));
    OK(cuMemFree_v2(c));
    OK(cuMemFree_v2(a));
    EQUAL(used(0), before);
    EQUAL(cuMemFree_v2(a), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(0));
    EQUAL(cuMemAlloc_v2(&a, 0), CUDA_ERROR_INVALID_VALUE);
}

static void reports_free_memory(void)
{
    size_t free1, total;
    CUdeviceptr a;
    OK(cuMemGetInfo_v2(&free1, &total));
    OK(cuMemGetInfo_v2(NULL, NULL));
    OK(cuMemAlloc_v2(&a, 64 * MiB));
    EQUAL(free1 - free_memory(), 64 * MiB);
    OK(cuMemFree_v2(a));
    EQUAL(free_memory(), free1);
}

static void refuses_what_does_not_fit(void)
{
    CUdeviceptr a, b;
    size_t room = free_memory();
    EQUAL(cuMemAlloc_v2(&a, room + 2 * MiB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemAlloc_v2(&a, room / (2 * MiB) * (2 * MiB)));
    EQUAL(cuMemAlloc_v2(&b, 2 * MiB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemFree_v2(a));
}

static void moves_real_bytes(void)
{
    CUdeviceptr a, b;
    unsigned char sent[4096], received[4096];
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (unsigned char)(i * 7);
    OK(cuMemAlloc_v2(&a, 8 * MiB));
    OK(cuMemAlloc_v2(&b, 8192));
    OK(cuMemcpyHtoD_v2(a + 5 * MiB, sent, sizeof sent));
    OK(cuMemcpyDtoD_v2(b, a + 5 * MiB, sizeof sent));
    OK(cuMemcpyDtoH_v2(received, b, sizeof received));
    EQUAL(memcmp(sent, received, sizeof received), 0);
    OK(cuMemsetD32_v2(b, 0x01020304, 1024));
    OK(cuMemcpy((CUdeviceptr)(uintptr_t)received, b, sizeof received));
    EQUAL(received[0], 4);
    EQUAL(received[4095], 1);
    OK(cuMemsetD8_v2(a, 0, 8 * MiB));
    OK(cuMemcpyDtoH_v2(received, a + 5 * MiB, sizeof received));
    EQUAL(received[100], 0);
    EQUAL(cuMemcpyHtoD_v2(a + 8 * MiB - 16, sent, 4096), CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuMemcpyDtoH_v2(received, 0xdead0000, 16), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(a));
    OK(cuMemFree_v2(b));
}

static void copies_rectangles(void)
{
    CUdeviceptr a;
    size_t pitch;
    unsigned char sent[3][10], received[3][10];
    for (int i = 0; i < 30; i++)
        sent[i / 10][i % 10] = (unsigned char)i;
    OK(cuMemAllocPitch_v2(&a, &pitch, 10, 3, 4));
    EQUAL(pitch, 512);
    CUDA_MEMCPY2D there = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                           .srcHost = sent,
                           .srcPitch = 10,
                           .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                           .dstDevice = a,
                           .dstPitch = pitch,
                           .WidthInBytes = 10,
                           .Height = 3};
    OK(cuMemcpy2D_v2(&there));
    CUDA_MEMCPY2D back = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = a,
                          .srcPitch = pitch,
                          .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = received,
                          .dstPitch = 10,
                          .WidthInBytes = 10,
                          .Height = 3};
    OK(cuMemcpy2D_v2(&back));
    EQUAL(memcmp(sent, received, sizeof received), 0);
    OK(cuMemFree_v2(a));
}

static void arrays_are_counted_and_hold_bytes(void)
{
    CUarray array, level;
    CUmipmappedArray mipmap;
    CUDA_ARRAY_MEMORY_REQUIREMENTS needs;
    uint64_t before = used(0);
    float sent[64], received[64];
    for (int i = 0; i < 64; i++)
        sent[i] = (float)i;
    CUDA_ARRAY3D_DESCRIPTOR shape = {
        .Width = 1024, .Height = 1024, .Depth = 4, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    OK(cuArray3DCreate_v2(&array, &shape));
    EQUAL(used(0) - before, 16 * MiB);
    OK(cuArrayGetMemoryRequirements(&needs, array, 0));
    EQUAL(needs.size, 16 * MiB);
    OK(cuMemcpyHtoA_v2(array, 128, sent, sizeof sent));
    OK(cuMemcpyAtoH_v2(received, array, 128, sizeof received));
    EQUAL(memcmp(sent, received, sizeof received), 0);
    OK(cuArrayDestroy(array));
    EQUAL(cuArrayDestroy(array), CUDA_ERROR_INVALID_HANDLE);
    OK(cuMipmappedArrayCreate(&mipmap, &shape, 5));
    ASSERT(used(0) - before > 16 * MiB);
    OK(cuMipmappedArrayGetLevel(&level, mipmap, 4));
    OK(cuArray3DGetDescriptor_v2(&shape, level));
    EQUAL(shape.Width, 64);
    OK(cuMipmappedArrayDestroy(mipmap));
    EQUAL(used(0), before);
    shape.NumChannels = 3;
    EQUAL(cuArray3DCreate_v2(&array, &shape), CUDA_ERROR_INVALID_VALUE);
}

static void host_memory_costs_no_gpu(void)
{
    void *host, *mine = malloc(4096);
    CUdeviceptr at;
    uint64_t before = used(0);
    OK(cuMemHostAlloc(&host, 32 * MiB, CU_MEMHOSTALLOC_PORTABLE));
    EQUAL(used(0), before);
    memset(host, 1, 32 * MiB);
    OK(cuMemHostGetDevicePointer_v2(&at, host, 0));
    OK(cuMemHostRegister_v2(mine, 4096, 0));
    EQUAL(cuMemHostRegister_v2(mine, 4096, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    OK(cuMemHostUnregister(mine));
    EQUAL(cuMemHostUnregister(mine), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    OK(cuMemFreeHost(host));
    free(mine);
}

static void managed_memory_is_on_host_and_gpu(void)
{
    CUdeviceptr at;
    unsigned int is_managed;
    uint64_t before = used(0);
    OK(cuMemAllocManaged(&at, 4 * MiB, CU_MEM_ATTACH_GLOBAL));
    EQUAL(used(0) - before, 4 * MiB);
    OK(cuMemsetD8_v2(at, 9, 4 * MiB));
    OK(cuCtxSynchronize());
    EQUAL(((unsigned char *)(uintptr_t)at)[12345], 9);
    OK(cuPointerGetAttribute(&is_managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, at));
    EQUAL(is_managed, 1);
    OK(cuMemFree_v2(at));
    EQUAL(used(0), before);
}

static void pointers_are_known(void)
{
    CUdeviceptr at, base;
    size_t size;
    unsigned int type;
    int local;
    OK(cuMemAlloc_v2(&at, 10000));
    OK(cuMemGetAddressRange_v2(&base, &size, at + 5000));
    EQUAL(base, at);
    EQUAL(size, 10000);
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at));
    EQUAL(type, CU_MEMORYTYPE_DEVICE);
    EQUAL(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (uintptr_t)&local),
          CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(at));
}

int main(void)
{
    machine("gpus=1\ngpu.0.memory=8589934592\ngpu.0.reserved=268435456\ngpu.0.context=524288000\n");
    OK(cuInit(0));
    EQUAL(used(0), 256 * MiB);
    begin();
    EQUAL(used(0), 756 * MiB); /* the context costs memory */
    counts_in_granules();
    reports_free_memory();
    refuses_what_does_not_fit();
    moves_real_bytes();
    copies_rectangles();
    arrays_are_counted_and_hold_bytes();
    host_memory_costs_no_gpu();
    managed_memory_is_on_host_and_gpu();
    pointers_are_known();
    OK(cuDevicePrimaryCtxRelease_v2(0));
    EQUAL(used(0), 256 * MiB);
    puts("ok: memory");
    return 0;
}
