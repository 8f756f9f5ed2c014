/* SPDX-License-Identifier: Apache-2.0 */
#include "paths.h"

/*
 * Arrays of 16-byte texels with at least eight rows: the driver pads smaller ones to eight rows, so
 * a row of 2 MiB would take 16 MiB (driver 580).
 */
enum {
    TEXEL = 16,
    ROWS_WIDTH = 16384,
    ROW = ROWS_WIDTH * TEXEL,
    SLICE_WIDTH = 4096,
    SLICE_HEIGHT = PAGE / TEXEL / SLICE_WIDTH
};

static CUresult linear(const struct device *device, uint64_t bytes, struct hold *hold)
{
    (void)device;
    return driver.cuMemAlloc_v2(&hold->pointer, bytes);
}

static CUresult pitch(const struct device *device, uint64_t bytes, struct hold *hold)
{
    size_t chosen;
    (void)device;
    return driver.cuMemAllocPitch_v2(&hold->pointer, &chosen, PAGE, bytes / PAGE, TEXEL);
}

static CUresult managed(const struct device *device, uint64_t bytes, struct hold *hold)
{
    (void)device;
    return driver.cuMemAllocManaged(&hold->pointer, bytes, CU_MEM_ATTACH_GLOBAL);
}

static CUresult free_pointer(const struct device *device, struct hold *hold)
{
    (void)device;
    return driver.cuMemFree_v2(hold->pointer);
}

static CUresult async(const struct device *device, uint64_t bytes, struct hold *hold)
{
    return driver.cuMemAllocAsync(&hold->pointer, bytes, device->stream);
}

static CUresult free_async(const struct device *device, struct hold *hold)
{
    CUmemoryPool common;
    CUresult result = driver.cuMemFreeAsync(hold->pointer, device->stream);
    driver.cuStreamSynchronize(device->stream);
    if (driver.cuDeviceGetDefaultMemPool(&common, device->handle) == CUDA_SUCCESS)
        driver.cuMemPoolTrimTo(common, 0);
    return result;
}

/* One pool for all allocations, as in a program; it is destroyed with the last of them. */
static CUmemoryPool pool;
static unsigned pool_users;

static void leave_pool(void)
{
    if (--pool_users == 0)
        driver.cuMemPoolDestroy(pool);
}

static CUresult own_pool(const struct device *device, uint64_t bytes, struct hold *hold)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, device->handle}};
    CUresult result = pool_users ? CUDA_SUCCESS : driver.cuMemPoolCreate(&pool, &props);
    if (result != CUDA_SUCCESS)
        return result;
    pool_users++;
    result = driver.cuMemAllocFromPoolAsync(&hold->pointer, bytes, pool, device->stream);
    if (result != CUDA_SUCCESS)
        leave_pool();
    return result;
}

static CUresult free_own_pool(const struct device *device, struct hold *hold)
{
    CUresult result = driver.cuMemFreeAsync(hold->pointer, device->stream);
    driver.cuStreamSynchronize(device->stream);
    leave_pool();
    return result;
}

static CUresult physical(const struct device *device, uint64_t bytes, struct hold *hold)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, device->handle}};
    return driver.cuMemCreate(&hold->handle, bytes, &prop, 0);
}

static CUresult release_physical(const struct device *device, struct hold *hold)
{
    (void)device;
    return driver.cuMemRelease(hold->handle);
}

static CUresult array(size_t width, size_t height, size_t depth, CUarray *created)
{
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {width, height, depth, CU_AD_FORMAT_UNSIGNED_INT32, 4, 0};
    return driver.cuArray3DCreate_v2(created, &descriptor);
}

static CUresult array_1d(const struct device *device, uint64_t bytes, struct hold *hold)
{
    CUDA_ARRAY_DESCRIPTOR descriptor = {bytes / TEXEL, 0, CU_AD_FORMAT_UNSIGNED_INT32, 4};
    (void)device;
    return driver.cuArrayCreate_v2(&hold->array, &descriptor);
}

static uint64_t largest_1d(const struct device *device)
{
    return (uint64_t)device->texture_width * TEXEL / PAGE * PAGE;
}

static CUresult array_2d(const struct device *device, uint64_t bytes, struct hold *hold)
{
    (void)device;
    return array(ROWS_WIDTH, bytes / ROW, 0, &hold->array);
}

static uint64_t largest_2d(const struct device *device)
{
    return (uint64_t)device->texture_height * ROW;
}

static CUresult array_3d(const struct device *device, uint64_t bytes, struct hold *hold)
{
    (void)device;
    return array(SLICE_WIDTH, SLICE_HEIGHT, bytes / PAGE, &hold->array);
}

static uint64_t largest_3d(const struct device *device)
{
    return (uint64_t)device->texture_depth * PAGE;
}

static CUresult destroy_array(const struct device *device, struct hold *hold)
{
    (void)device;
    return driver.cuArrayDestroy(hold->array);
}

/* One level: more levels would add a third to the size. */
static CUresult mipmap(const struct device *device, uint64_t bytes, struct hold *hold)
{
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {
        SLICE_WIDTH, SLICE_HEIGHT, bytes / PAGE, CU_AD_FORMAT_UNSIGNED_INT32, 4, 0};
    (void)device;
    return driver.cuMipmappedArrayCreate(&hold->mipmap, &descriptor, 1);
}

static CUresult destroy_mipmap(const struct device *device, struct hold *hold)
{
    (void)device;
    return driver.cuMipmappedArrayDestroy(hold->mipmap);
}

static CUresult launch(const struct device *device, struct hold *hold)
{
    CUresult result = driver.cuGraphInstantiateWithFlags(&hold->exec, hold->graph, 0);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver.cuGraphLaunch(hold->exec, device->stream);
    if (result == CUDA_SUCCESS)
        result = driver.cuStreamSynchronize(device->stream);
    if (result != CUDA_SUCCESS)
        driver.cuGraphExecDestroy(hold->exec);
    return result;
}

/* Without a free node the allocation of a graph stays after the launch. */
static CUresult graph(const struct device *device, uint64_t bytes, struct hold *hold)
{
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, device->handle},
                              CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUDA_MEM_ALLOC_NODE_PARAMS params = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                       .location = access.location},
                                         .accessDescs = &access,
                                         .accessDescCount = 1,
                                         .bytesize = bytes};
    CUgraphNode node;
    CUresult result = driver.cuGraphCreate(&hold->graph, 0);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver.cuGraphAddMemAllocNode(&node, hold->graph, NULL, 0, &params);
    if (result == CUDA_SUCCESS)
        result = launch(device, hold);
    hold->pointer = params.dptr;
    if (result != CUDA_SUCCESS) {
        driver.cuGraphDestroy(hold->graph);
        driver.cuDeviceGraphMemTrim(device->handle);
    }
    return result;
}

static CUresult free_graph(const struct device *device, struct hold *hold)
{
    CUresult result = driver.cuMemFreeAsync(hold->pointer, device->stream);
    driver.cuStreamSynchronize(device->stream);
    driver.cuGraphExecDestroy(hold->exec);
    driver.cuGraphDestroy(hold->graph);
    driver.cuDeviceGraphMemTrim(device->handle);
    return result;
}

const struct path paths[] = {
    {"cuMemAlloc", false, linear, free_pointer, NULL},
    {"cuMemAllocPitch", false, pitch, free_pointer, NULL},
    {"cuMemAllocManaged", true, managed, free_pointer, NULL},
    {"cuMemAllocAsync", false, async, free_async, NULL},
    {"cuMemAllocFromPoolAsync", false, own_pool, free_own_pool, NULL},
    {"cuMemCreate", false, physical, release_physical, NULL},
    {"cuArrayCreate 1D", false, array_1d, destroy_array, largest_1d},
    {"cuArray3DCreate 2D", false, array_2d, destroy_array, largest_2d},
    {"cuArray3DCreate 3D", false, array_3d, destroy_array, largest_3d},
    {"cuMipmappedArrayCreate", false, mipmap, destroy_mipmap, largest_3d},
    {"cuGraphAddMemAllocNode", false, graph, free_graph, NULL},
};
const unsigned path_count = sizeof paths / sizeof *paths;
