/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of kernels: attributes and parameters. */
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
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
