/* SPDX-License-Identifier: Apache-2.0 */
/* Pools and virtual memory: what is reserved, what is used, what is freed. */
#include "machine.h"

static uint64_t attribute(CUmemoryPool pool, CUmemPool_attribute which)
{
    uint64_t value;
    OK(cuMemPoolGetAttribute(pool, which, &value));
    return value;
}

static void the_default_pool_grows_and_shrinks(void)
{
    CUmemoryPool pool;
    CUdeviceptr a, b;
    uint64_t before = used(0), threshold = UINT64_MAX;
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemAllocAsync(&a, 1000, NULL));
    EQUAL(attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 32 * MiB);
    EQUAL(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 1000);
    EQUAL(used(0) - before, 32 * MiB);
    OK(cuMemFreeAsync(a, NULL));
    EQUAL(used(0) - before, 32 * MiB);
    OK(cuStreamSynchronize(NULL)); /* above the threshold (0): freed */
    EQUAL(used(0), before);
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    OK(cuMemAllocAsync(&a, 40 * MiB, NULL));
    OK(cuMemAllocAsync(&b, 10 * MiB, NULL));
    EQUAL(used(0) - before, 64 * MiB);
    OK(cuMemFreeAsync(a, NULL));
    OK(cuMemFreeAsync(b, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(used(0) - before, 64 * MiB);
    OK(cuMemPoolTrimTo(pool, 0));
    EQUAL(used(0), before);
    threshold = 0;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    EQUAL(attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), 64 * MiB);
    EQUAL(cuMemFreeAsync(a, NULL), CUDA_ERROR_INVALID_VALUE);
}

static void pools_of_the_program(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    CUmemoryPool pool, current;
    CUdeviceptr a;
    uint64_t before = used(0);
    OK(cuMemPoolCreate(&pool, &props));
    OK(cuMemAllocFromPoolAsync(&a, 3 * MiB, pool, NULL));
    EQUAL(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 3 * MiB);
    OK(cuMemFree_v2(a)); /* the synchronous free accepts pool memory too */
    OK(cuMemSetMemPool(&here, CU_MEM_ALLOCATION_TYPE_PINNED, pool));
    OK(cuMemGetMemPool(&current, &here, CU_MEM_ALLOCATION_TYPE_PINNED));
    ASSERT(current == pool);
    OK(cuMemPoolDestroy(pool));
    OK(cuDeviceGetMemPool(&current, 0));
    ASSERT(current != pool);
    EQUAL(cuMemPoolDestroy(pool), CUDA_ERROR_INVALID_VALUE);
    EQUAL(used(0), before);
}

static void a_full_gpu_is_refused(void)
{
    CUdeviceptr a;
    EQUAL(cuMemAllocAsync(&a, free_memory() + MiB, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemAllocAsync(&a, free_memory() / (2 * MiB) * (2 * MiB), NULL));
    OK(cuMemFreeAsync(a, NULL));
    OK(cuStreamSynchronize(NULL));
}

static void virtual_memory_maps_chunks(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr at;
    size_t granularity;
    unsigned char bytes[2];
    uint64_t before = used(0);
    OK(cuMemGetAllocationGranularity(&granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    EQUAL(granularity, 2 * MiB);
    OK(cuMemAddressReserve(&at, 64 * MiB, 0, 0, 0));
    EQUAL(used(0), before);
    OK(cuMemCreate(&handle, 4 * MiB, &prop, 0));
    EQUAL(cuMemCreate(&again, 1000, &prop, 0), CUDA_ERROR_INVALID_VALUE);
    EQUAL(used(0) - before, 4 * MiB);
    OK(cuMemMap(at, 4 * MiB, 0, handle, 0));
    OK(cuMemMap(at + 8 * MiB, 4 * MiB, 0, handle, 0)); /* the same bytes a second time */
    EQUAL(cuMemMap(at, 4 * MiB, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuMemsetD8_v2(at, 1, 16), CUDA_ERROR_INVALID_VALUE); /* no access yet */
    OK(cuMemSetAccess(at, 4 * MiB, &access, 1));
    OK(cuMemSetAccess(at + 8 * MiB, 4 * MiB, &access, 1));
    OK(cuMemsetD8_v2(at + 100, 42, 2));
    OK(cuMemcpyDtoH_v2(bytes, at + 8 * MiB + 100, 2));
    EQUAL(bytes[1], 42);
    OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(at + MiB)));
    EQUAL(again, handle);
    OK(cuMemRelease(again));
    OK(cuMemRelease(handle));
    EQUAL(cuMemRelease(handle), CUDA_ERROR_INVALID_VALUE);
    EQUAL(used(0) - before, 4 * MiB); /* mappings keep the memory */
    EQUAL(cuMemAddressFree(at, 64 * MiB), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemUnmap(at, 4 * MiB));
    OK(cuMemUnmap(at + 8 * MiB, 4 * MiB));
    EQUAL(used(0), before);
    OK(cuMemAddressFree(at, 64 * MiB));
}

/* As the guard suspends: the memory is freed, the address stays. */
static void an_address_outlives_its_memory(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle handle;
    CUdeviceptr at;
    static unsigned char away[2 * MiB];
    unsigned char bytes;
    OK(cuMemAddressReserve(&at, 2 * MiB, 0, 0, 0));
    for (int round = 0; round < 2; round++) {
        OK(cuMemCreate(&handle, 2 * MiB, &prop, 0));
        OK(cuMemMap(at, 2 * MiB, 0, handle, 0));
        OK(cuMemRelease(handle));
        OK(cuMemSetAccess(at, 2 * MiB, &access, 1));
        OK(cuMemcpyDtoH_v2(&bytes, at + 7, 1));
        EQUAL(bytes, 0); /* new memory is zeroed */
        if (round == 0)
            OK(cuMemsetD8_v2(at, 200, 2 * MiB));
        else
            OK(cuMemcpyHtoD_v2(at, away, sizeof away));
        OK(cuMemcpyDtoH_v2(away, at, sizeof away));
        OK(cuMemUnmap(at, 2 * MiB));
    }
    EQUAL(away[7], 200);
    OK(cuMemAddressFree(at, 2 * MiB));
}

int main(void)
{
    machine("gpus=1\ngpu.0.memory=4294967296\n");
    begin();
    the_default_pool_grows_and_shrinks();
    pools_of_the_program();
    a_full_gpu_is_refused();
    virtual_memory_maps_chunks();
    an_address_outlives_its_memory();
    puts("ok: pools and virtual memory");
    return 0;
}
