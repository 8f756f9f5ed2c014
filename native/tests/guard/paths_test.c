/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way to allocate on a simulated machine: what it is charged, and that all of it is
 * uncharged. Run under the guard as `paths_test SCENARIO` with a limit of 256 MiB and the context.
 */
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "share/region.h"

#define LIMIT (256 * MIB)

static struct gs_region *region;
static CUcontext context;
static uint64_t base;

/* Without cached memory, which counts as free. */
static uint64_t charged(void)
{
    return gs_region_used(region, 0) - gs_region_cached(region, 0) - base;
}

static CUmemLocation here(void)
{
    return (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 0};
}

static void plain(void)
{
    CUdeviceptr a, b, c;
    size_t pitch;
    OK(cuMemAlloc_v2(&a, 3 * MIB));
    CHECK(charged() == 4 * MIB);
    OK(cuMemAllocPitch_v2(&b, &pitch, 1000, 10240, 4));
    CHECK(charged() == 4 * MIB + (pitch * 10240 + 2 * MIB - 1) / (2 * MIB) * (2 * MIB));
    OK(cuMemAllocManaged(&c, 100 * MIB, CU_MEM_ATTACH_GLOBAL));
    FULL(cuMemAllocManaged(&c, 200 * MIB, CU_MEM_ATTACH_GLOBAL));
    FULL(cuMemAllocPitch_v2(&c, &pitch, SIZE_MAX / 2, 8, 4));
    OK(cuMemFree_v2(a));
    OK(cuMemFree_v2(b));
    CHECK(charged() == 100 * MIB);
}

static void managed_stays_managed(void)
{
    CUdeviceptr a;
    int managed = 0;
    OK(cuMemAllocManaged(&a, 2 * MIB, CU_MEM_ATTACH_GLOBAL));
    OK(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, a));
    CHECK(managed == 1);
    OK(cuMemFree_v2(a));
    CHECK(charged() == 0);
}

static void device_heap(void)
{
    OK(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 108 * MIB));
    CHECK(charged() == 100 * MIB);
    GIVES(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 300 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 28 * MIB));
    CHECK(charged() == 20 * MIB);
    OK(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048));
    OK(cuDevicePrimaryCtxReset_v2(0));
    CHECK(gs_region_used(region, 0) == 0);
}

static void pinned_host_memory_is_free(void)
{
    void *host;
    OK(cuMemHostAlloc(&host, 512 * MIB, 0));
    CHECK(charged() == 0);
    OK(cuMemFreeHost(host));
}

static void default_pool(void)
{
    CUdeviceptr a, b;
    CUstream stream;
    OK(cuStreamCreate(&stream, 0));
    OK(cuMemAllocAsync(&a, MIB, stream));
    CHECK(charged() == 32 * MIB); /* the step of the driver */
    OK(cuMemAllocAsync_ptsz(&b, MIB, stream));
    CHECK(charged() == 32 * MIB);
    FULL(cuMemAllocAsync(&b, 250 * MIB, stream));
    OK(cuMemFreeAsync(b, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(charged() == 0); /* no threshold: the driver shrinks it when synchronising */
    OK(cuMemAllocAsync(&a, 100 * MIB, stream));
    OK(cuMemFree_v2(a));
    OK(cuCtxSynchronize());
    CHECK(charged() == 0);
}

static CUmemoryPool own_pool(void)
{
    CUmemoryPool pool;
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = here()};
    cuuint64_t threshold = UINT64_MAX;
    OK(cuMemPoolCreate(&pool, &properties));
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    return pool;
}

static void own_pool_caches_and_is_trimmed(void)
{
    CUdeviceptr a, b;
    CUmemoryPool pool = own_pool();
    OK(cuMemAllocFromPoolAsync(&a, 100 * MIB, pool, NULL));
    CHECK(charged() == 128 * MIB);
    OK(cuMemFreeAsync(a, NULL));
    OK(cuStreamSynchronize(NULL));
    CHECK(charged() == 128 * MIB);
    OK(cuMemAllocFromPoolAsync(&a, 90 * MIB, pool, NULL));
    CHECK(charged() == 128 * MIB); /* from its cache */
    OK(cuMemFreeAsync(a, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuMemAlloc_v2(&b, 250 * MIB)); /* needs memory that the pool caches */
    CHECK(charged() == 250 * MIB);
    OK(cuMemFree_v2(b));
    OK(cuMemAllocFromPoolAsync(&a, 40 * MIB, pool, NULL));
    OK(cuMemFreeAsync(a, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuMemPoolTrimTo(pool, 0));
    CHECK(charged() == 0);
    FULL(cuMemAllocFromPoolAsync(&a, 257 * MIB, pool, NULL));
    OK(cuMemPoolDestroy(pool));
}

static void current_pool_is_charged(void)
{
    CUdeviceptr a;
    CUmemoryPool pool = own_pool(), shown;
    CUmemLocation place = here();
    OK(cuDeviceSetMemPool(0, pool));
    OK(cuMemGetMemPool(&shown, &place, CU_MEM_ALLOCATION_TYPE_PINNED));
    CHECK(shown == pool);
    OK(cuMemAllocAsync(&a, 60 * MIB, NULL));
    CHECK(charged() == 64 * MIB);
    OK(cuMemFreeAsync(a, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuMemGetDefaultMemPool(&shown, &place, CU_MEM_ALLOCATION_TYPE_PINNED));
    OK(cuMemSetMemPool(&place, CU_MEM_ALLOCATION_TYPE_PINNED, shown));
    OK(cuMemPoolDestroy(pool));
    CHECK(charged() == 0);
}

static CUmemGenericAllocationHandle physical(uint64_t bytes, CUresult expected)
{
    CUmemGenericAllocationHandle handle = 0;
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = here()};
    GIVES(cuMemCreate(&handle, bytes, &properties, 0), expected);
    return handle;
}

static void virtual_memory_counts_references(void)
{
    CUdeviceptr at;
    CUmemGenericAllocationHandle first = physical(100 * MIB, CUDA_SUCCESS), again, second;
    physical(200 * MIB, CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(charged() == 100 * MIB);
    OK(cuMemAddressReserve(&at, 400 * MIB, 0, 0, 0));
    OK(cuMemMap(at, 100 * MIB, 0, first, 0));
    OK(cuMemRelease(first));
    CHECK(charged() == 100 * MIB); /* mapped */
    OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(at + 2 * MIB)));
    OK(cuMemUnmap(at, 100 * MIB));
    CHECK(charged() == 100 * MIB); /* held */
    OK(cuMemRelease(again));
    CHECK(charged() == 0);

    first = physical(20 * MIB, CUDA_SUCCESS);
    second = physical(40 * MIB, CUDA_SUCCESS);
    OK(cuMemMap(at, 20 * MIB, 0, first, 0));
    OK(cuMemMap(at + 20 * MIB, 40 * MIB, 0, second, 0));
    OK(cuMemMap(at + 100 * MIB, 40 * MIB, 0, second, 0));
    OK(cuMemRelease(first));
    OK(cuMemRelease(second));
    OK(cuMemUnmap(at, 60 * MIB)); /* both at once */
    CHECK(charged() == 40 * MIB);
    OK(cuMemUnmap(at + 100 * MIB, 40 * MIB));
    CHECK(charged() == 0);
    CHECK(cuMemRelease(second) != CUDA_SUCCESS && charged() == 0);
}

static void imports_are_free(void)
{
    CUmemGenericAllocationHandle handle, imported;
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = here(),
                                      .requestedHandleTypes =
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
    int fd;
    OK(cuMemCreate(&handle, 100 * MIB, &properties, 0));
    OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    CHECK(charged() == 100 * MIB);
    OK(cuMemRelease(imported));
    OK(cuMemRelease(handle));
    close(fd);
    CHECK(charged() == 0);
}

static void arrays(void)
{
    CUarray line, plane, cube, none;
    CUmipmappedArray levels;
    CUDA_ARRAY_DESCRIPTOR flat = {4 * MIB / 64, 64, CU_AD_FORMAT_FLOAT, 4}; /* 64 MiB */
    CUDA_ARRAY3D_DESCRIPTOR deep = {256, 256, 64, CU_AD_FORMAT_FLOAT, 1, 0};  /* 16 MiB */
    CUDA_ARRAY3D_DESCRIPTOR big = {16384, 16384, 0, CU_AD_FORMAT_FLOAT, 4, 0}; /* 4 GiB */
    CUDA_ARRAY3D_DESCRIPTOR mips = {2048, 2048, 0, CU_AD_FORMAT_FLOAT,
                                    2,    0};  /* 32 MiB and a third */
    flat = (CUDA_ARRAY_DESCRIPTOR){65536, 0, CU_AD_FORMAT_FLOAT, 4};
    OK(cuArrayCreate_v2(&line, &flat));
    CHECK(charged() == 2 * MIB);
    flat = (CUDA_ARRAY_DESCRIPTOR){1024, 4096, CU_AD_FORMAT_FLOAT, 4};
    OK(cuArrayCreate_v2(&plane, &flat));
    CHECK(charged() == 66 * MIB);
    OK(cuArray3DCreate_v2(&cube, &deep));
    CHECK(charged() == 82 * MIB);
    FULL(cuArray3DCreate_v2(&none, &big));
    FULL(cuMipmappedArrayCreate(&levels, &big, 4));
    OK(cuMipmappedArrayCreate(&levels, &mips, 12));
    CHECK(charged() >= (82 + 42) * MIB && charged() <= (82 + 46) * MIB);
    OK(cuMipmappedArrayDestroy(levels));
    OK(cuArrayDestroy(cube));
    OK(cuArrayDestroy(plane));
    OK(cuArrayDestroy(line));
    CHECK(charged() == 0);
}

static CUgraph graph_of(uint64_t bytes)
{
    CUgraph graph;
    CUgraphNode node, freed;
    CUDA_MEM_ALLOC_NODE_PARAMS memory = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                       .location = here()},
                                         .bytesize = bytes};
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &memory));
    OK(cuGraphAddMemFreeNode(&freed, graph, &node, 1, memory.dptr));
    return graph;
}

static CUgraphExec executable(CUgraph graph)
{
    CUgraphExec exec;
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
}

static void run(CUgraphExec exec, CUresult expected)
{
    GIVES(cuGraphLaunch(exec, NULL), expected);
    OK(cuStreamSynchronize(NULL));
}

static void graphs(void)
{
    CUdeviceptr a;
    CUgraphExec small = executable(graph_of(60 * MIB)), large = executable(graph_of(600 * MIB));
    run(small, CUDA_SUCCESS);
    uint64_t once = charged();
    CHECK(once >= 60 * MIB && once <= 64 * MIB);
    run(small, CUDA_SUCCESS);
    CHECK(charged() == once);
    run(large, CUDA_ERROR_OUT_OF_MEMORY);
    run(small, CUDA_SUCCESS); /* its memory was trimmed before */
    CHECK(charged() == once);
    OK(cuMemAlloc_v2(&a, 250 * MIB)); /* needs memory that the graphs cache */
    CHECK(charged() == 250 * MIB);
    run(small, CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemFree_v2(a));
    run(small, CUDA_SUCCESS);
    OK(cuGraphExecDestroy(small));
    OK(cuDeviceGraphMemTrim(0));
    CHECK(charged() == 0);
    OK(cuGraphExecDestroy(large));
}

static void captured(void)
{
    CUdeviceptr a;
    CUstream stream;
    CUgraph graph;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&a, 90 * MIB, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamEndCapture(stream, &graph));
    CHECK(charged() == 0);
    CUgraphExec exec = executable(graph);
    run(exec, CUDA_SUCCESS);
    CHECK(charged() >= 90 * MIB && charged() <= 96 * MIB);
    OK(cuGraphExecDestroy(exec));
    OK(cuDeviceGraphMemTrim(0));
    CHECK(charged() == 0);
}

static void nodes_by_type_and_child_graphs(void)
{
    CUgraph outer, inner;
    CUgraphNode node, child, freed;
    CUgraphNodeParams parameters = {.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
    parameters.alloc.poolProps =
        (CUmemPoolProps){.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = here()};
    parameters.alloc.bytesize = 300 * MIB;
    OK(cuGraphCreate(&inner, 0));
    OK(cuGraphAddNode_v2(&node, inner, NULL, NULL, 0, &parameters));
    OK(cuGraphAddMemFreeNode(&freed, inner, &node, 1, parameters.alloc.dptr));
    run(executable(inner), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuGraphCreate(&outer, 0));
    if (cuGraphAddChildGraphNode(&child, outer, NULL, 0, inner) == CUDA_SUCCESS)
        run(executable(outer), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(charged() == 0);
}

static void contexts(void)
{
    CUcontext second;
    CUdeviceptr a, b, again;
    OK(cuMemAlloc_v2(&a, 20 * MIB));
    OK(cuCtxCreate_v2(&second, 0, 0));
    OK(cuMemAlloc_v2(&b, 30 * MIB));
    CHECK(charged() == 50 * MIB + base); /* a second context costs what the first did */
    OK(cuCtxDestroy_v2(second));
    CHECK(charged() == 20 * MIB);
    OK(cuCtxSetCurrent(context));
    OK(cuMemAlloc_v2(&again, 30 * MIB));
    OK(cuDevicePrimaryCtxReset_v2(0));
    CHECK(gs_region_used(region, 0) == 0);
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    OK(cuMemAlloc_v2(&a, 20 * MIB));
    CHECK(charged() == 20 * MIB);
}

static void view(void)
{
    size_t free, total;
    CUdeviceptr a;
    OK(cuMemAlloc_v2(&a, 56 * MIB));
    OK(cuMemGetInfo_v2(&free, &total));
    CHECK(free == 200 * MIB && total == region->gpu[0].limit);
    OK(cuDeviceTotalMem_v2(&total, 0));
    CHECK(total == region->gpu[0].limit);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"plain", plain},
    {"managed_stays_managed", managed_stays_managed},
    {"device_heap", device_heap},
    {"pinned_host_memory_is_free", pinned_host_memory_is_free},
    {"default_pool", default_pool},
    {"own_pool_caches_and_is_trimmed", own_pool_caches_and_is_trimmed},
    {"current_pool_is_charged", current_pool_is_charged},
    {"virtual_memory_counts_references", virtual_memory_counts_references},
    {"imports_are_free", imports_are_free},
    {"arrays", arrays},
    {"graphs", graphs},
    {"captured", captured},
    {"nodes_by_type_and_child_graphs", nodes_by_type_and_child_graphs},
    {"contexts", contexts},
    {"view", view},
};

int main(int count, char **arguments)
{
    CHECK(count == 2);
    region = gs_region_map(getenv("GPUSHARE_REGION"));
    CHECK(region);
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    base = gs_region_used(region, 0);
    CHECK(base == region->gpu[0].context && region->gpu[0].limit == base + LIMIT);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(scenarios[i].name, arguments[1]))
            continue;
        scenarios[i].run();
        CHECK(region->gpu[0].peak <= region->gpu[0].limit);
        return 0;
    }
    return 2;
}
