/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of kernels: attributes, parameters, occupancy. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/core/mps_client.h"
#include "cuda/execution/kernel.h"

#define FUNCTION(handle) CHECK(gs_handle_is(handle, KIND_FUNCTION), CUDA_ERROR_INVALID_HANDLE)

static CUresult get_attribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    FUNCTION(function);
    CHECK(value && attribute < CU_FUNC_ATTRIBUTE_MAX, CUDA_ERROR_INVALID_VALUE);
    *value = function->attributes[attribute];
    return CUDA_SUCCESS;
}

static CUresult set_attribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    FUNCTION(function);
    CHECK(attribute >= CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
              && attribute < CU_FUNC_ATTRIBUTE_MAX,
          CUDA_ERROR_INVALID_VALUE);
    function->attributes[attribute] = value;
    return CUDA_SUCCESS;
}

static CUresult param_info(CUfunction function, size_t index, size_t *offset, size_t *size)
{
    FUNCTION(function);
    CHECK(offset && function->params >= 0 && index < (size_t)function->params,
          CUDA_ERROR_INVALID_VALUE);
    *offset = function->offset[index];
    if (size)
        *size = function->size[index];
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    ENTER(NEED_INIT);
    return get_attribute(value, attribute, function);
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    ENTER(NEED_INIT);
    return set_attribute(function, attribute, value);
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config)
{
    ENTER(NEED_INIT);
    FUNCTION(function);
    CHECK(config <= CU_FUNC_CACHE_PREFER_EQUAL, CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuFuncSetSharedMemConfig(CUfunction function, CUsharedconfig config)
{
    ENTER(NEED_INIT);
    FUNCTION(function);
    CHECK(config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE, CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

/* A function that answers with one value of a kernel. */
#define ANSWER(name, type, handle_type, need, value) \
    CUresult name(type *answer, handle_type handle)  \
    {                                                \
        CUfunction function = (CUfunction)handle;    \
        ENTER(need);                                 \
        FUNCTION(function);                          \
        CHECK(answer, CUDA_ERROR_INVALID_VALUE);     \
        *answer = value;                             \
        return CUDA_SUCCESS;                         \
    }
ANSWER(cuFuncGetModule, CUmodule, CUfunction, NEED_INIT, function->module)
ANSWER(cuFuncGetName, const char *, CUfunction, NEED_INIT, function->name)
ANSWER(cuFuncIsLoaded, CUfunctionLoadingState, CUfunction, NEED_INIT,
       CU_FUNCTION_LOADING_STATE_LOADED)
ANSWER(cuKernelGetFunction, CUfunction, CUkernel, NEED_CONTEXT, function)
ANSWER(cuKernelGetLibrary, CUlibrary, CUkernel, NEED_INIT, function->library)

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *size)
{
    ENTER(NEED_INIT);
    return param_info(function, index, offset, size);
}

CUresult cuFuncLoad(CUfunction function)
{
    ENTER(NEED_INIT);
    FUNCTION(function);
    return CUDA_SUCCESS;
}

CUresult cuKernelGetName(const char **name, CUkernel kernel)
{
    return cuFuncGetName(name, (CUfunction)kernel);
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t *offset, size_t *size)
{
    ENTER(NEED_INIT);
    return param_info((CUfunction)kernel, index, offset, size);
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    return get_attribute(value, attribute, (CUfunction)kernel);
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                              CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    return set_attribute((CUfunction)kernel, attribute, value);
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    FUNCTION(kernel);
    CHECK(config <= CU_FUNC_CACHE_PREFER_EQUAL, CUDA_ERROR_INVALID_VALUE);
    return gs_ordinal(ordinal, &device);
}

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
