/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points that say how many blocks and clusters of a kernel run at a time. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/core/mps_client.h"
#include "cuda/execution/kernel.h"

#define FUNCTION(handle) CHECK(gs_handle_is(handle, KIND_FUNCTION), CUDA_ERROR_INVALID_HANDLE)
enum { PORTABLE_CLUSTER = 8, LARGEST_CLUSTER = 16 }; /* blocks, by the CUDA programming guide */

static int blocks_per_sm(CUcontext ctx, int block, size_t dynamic)
{
    const gs_device *device = gs_device_of(ctx->device);
    int warps = (block + 31) / 32;
    int by_threads = (int)device->threads_per_sm / MAX(warps * 32, 1);
    int by_shared = dynamic ? (int)(device->shared_per_sm / (dynamic + 1024)) : 32;
    return block < 1 || block > 1024 ? 0 : MIN(32, MIN(by_threads, by_shared));
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
                                                              int block, size_t dynamic,
                                                              unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    FUNCTION(function);
    CHECK(blocks && block > 0 && flags <= 1, CUDA_ERROR_INVALID_VALUE);
    *blocks = blocks_per_sm(call.ctx, block, dynamic);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int block,
                                                     size_t dynamic)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block, dynamic,
                                                                0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, CUfunction function,
                                                   CUoccupancyB2DSize shared, size_t dynamic,
                                                   int limit, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    FUNCTION(function);
    CHECK(grid && block && flags <= 1, CUDA_ERROR_INVALID_VALUE);
    *block = limit > 0 ? MIN(limit, 1024) : 1024;
    dynamic = shared ? shared(*block) : dynamic;
    *grid = (int)gs_mps_sms(gs_device_of(call.ctx->device))
            * MAX(1, blocks_per_sm(call.ctx, *block, dynamic));
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *grid, int *block, CUfunction function,
                                          CUoccupancyB2DSize shared, size_t dynamic, int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, shared, dynamic, limit,
                                                     0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *dynamic, CUfunction function, int blocks,
                                                 int block)
{
    ENTER(NEED_CONTEXT);
    FUNCTION(function);
    CHECK(dynamic && blocks > 0 && block > 0, CUDA_ERROR_INVALID_VALUE);
    uint32_t each = gs_device_of(call.ctx->device)->shared_per_sm / (uint32_t)blocks;
    *dynamic = each > 1024 ? each - 1024 : 0;
    return CUDA_SUCCESS;
}

static unsigned int cluster_blocks(const CUlaunchConfig *config, CUfunction function)
{
    const int *of_kernel = function->attributes + CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH;
    for (unsigned int i = 0; i < config->numAttrs; i++) {
        const CUlaunchAttribute *attribute = &config->attrs[i];
        if (attribute->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            return attribute->value.clusterDim.x * attribute->value.clusterDim.y
                   * attribute->value.clusterDim.z;
    }
    return (unsigned int)(MAX(1, of_kernel[0]) * MAX(1, of_kernel[1]) * MAX(1, of_kernel[2]));
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                      const CUlaunchConfig *config)
{
    ENTER(NEED_CONTEXT);
    FUNCTION(function);
    CHECK(clusters && config && (config->attrs || !config->numAttrs), CUDA_ERROR_INVALID_VALUE);
    unsigned int blocks = cluster_blocks(config, function);
    CHECK(blocks && blocks <= LARGEST_CLUSTER, CUDA_ERROR_INVALID_CLUSTER_SIZE);
    int threads = (int)(config->blockDimX * config->blockDimY * config->blockDimZ);
    int each = blocks_per_sm(call.ctx, threads, config->sharedMemBytes);
    *clusters = (int)(gs_mps_sms(gs_device_of(call.ctx->device)) * (unsigned int)each / blocks);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int *blocks, CUfunction function,
                                            const CUlaunchConfig *config)
{
    ENTER(NEED_CONTEXT);
    FUNCTION(function);
    CHECK(blocks && config, CUDA_ERROR_INVALID_VALUE);
    bool larger = function->attributes[CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED];
    *blocks = larger ? LARGEST_CLUSTER : PORTABLE_CLUSTER;
    return CUDA_SUCCESS;
}
