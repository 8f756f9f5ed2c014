/* SPDX-License-Identifier: Apache-2.0 */
/* Prints C that compiles with NVIDIA's cuda.h only if these declarations agree with it. */
#include "gs_cuda.h"

#include <stdio.h>

#define SIZE(type) \
    printf("_Static_assert(sizeof(" #type ") == %zu, \"" #type "\");\n", sizeof(type))
#define AT(type, member)                                                                \
    printf("_Static_assert(__builtin_offsetof(" #type ", " #member ") == %zu, \"" #type \
           "." #member "\");\n",                                                        \
           offsetof(type, member))
#define VALUE(name) \
    printf("_Static_assert((long long)" #name " == %lld, \"" #name "\");\n", (long long)(name))

static void values(void)
{
#define X(name, number, text) VALUE(name);
#include "cuda/results.def"
#undef X
#define X(name, number) VALUE(CU_DEVICE_ATTRIBUTE_##name);
#include "cuda/attributes.def"
#undef X
    VALUE(CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE);
    VALUE(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE);
    VALUE(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
    VALUE(CU_MEMPOOL_ATTR_USED_MEM_HIGH);
    VALUE(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT);
    VALUE(CU_GRAPH_NODE_TYPE_MEM_ALLOC);
    VALUE(CU_GRAPH_NODE_TYPE_CONDITIONAL);
    VALUE(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
    VALUE(CU_LAUNCH_ATTRIBUTE_PRIORITY);
    VALUE(CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
    VALUE(CU_LIMIT_MAX);
    VALUE(CU_AD_FORMAT_FLOAT);
    VALUE(CU_MEM_LOCATION_TYPE_HOST_NUMA);
    VALUE(CU_STREAM_CAPTURE_MODE_RELAXED);
    VALUE(CU_PROCESS_STATE_CHECKPOINTED);
    VALUE(CUDA_ARRAY3D_SPARSE);
    VALUE(CU_EVENT_INTERPROCESS);
    VALUE(CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    VALUE(CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY);
}

static void layouts_of_memory(void)
{
    SIZE(CUuuid);
    SIZE(CUdevprop);
    SIZE(CUipcMemHandle);
    SIZE(CUipcEventHandle);
    SIZE(CUmemPoolPtrExportData);
    SIZE(CUDA_MEMCPY2D);
    AT(CUDA_MEMCPY2D, srcArray);
    AT(CUDA_MEMCPY2D, dstPitch);
    SIZE(CUDA_MEMCPY3D);
    AT(CUDA_MEMCPY3D, srcPitch);
    AT(CUDA_MEMCPY3D, dstArray);
    AT(CUDA_MEMCPY3D, Depth);
    SIZE(CUDA_MEMCPY3D_PEER);
    AT(CUDA_MEMCPY3D_PEER, dstContext);
    SIZE(CUDA_ARRAY_DESCRIPTOR);
    SIZE(CUDA_ARRAY3D_DESCRIPTOR);
    AT(CUDA_ARRAY3D_DESCRIPTOR, Flags);
    SIZE(CUDA_ARRAY_MEMORY_REQUIREMENTS);
    SIZE(CUDA_ARRAY_SPARSE_PROPERTIES);
    SIZE(CUmemAllocationProp);
    AT(CUmemAllocationProp, location);
    AT(CUmemAllocationProp, allocFlags);
    SIZE(CUmemAccessDesc);
    SIZE(CUmemPoolProps);
    AT(CUmemPoolProps, maxSize);
    SIZE(CUmulticastObjectProp);
    SIZE(CUmemcpyAttributes);
    SIZE(CUDA_MEMCPY3D_BATCH_OP);
    SIZE(CUDA_EXTERNAL_MEMORY_HANDLE_DESC);
    AT(CUDA_EXTERNAL_MEMORY_HANDLE_DESC, size);
    SIZE(CUDA_EXTERNAL_MEMORY_BUFFER_DESC);
    SIZE(CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC);
}

static void layouts_of_work(void)
{
    SIZE(CUstreamBatchMemOpParams);
    AT(CUstreamBatchMemOpParams, waitValue.value64);
    SIZE(CUlaunchConfig);
    AT(CUlaunchConfig, attrs);
    SIZE(CUlaunchAttribute);
    AT(CUlaunchAttribute, value);
    SIZE(CUlaunchAttributeValue);
    SIZE(CUDA_LAUNCH_PARAMS);
    SIZE(CUDA_KERNEL_NODE_PARAMS_v1);
    SIZE(CUDA_KERNEL_NODE_PARAMS_v2);
    AT(CUDA_KERNEL_NODE_PARAMS_v2, ctx);
    SIZE(CUDA_MEMSET_NODE_PARAMS);
    SIZE(CUDA_MEMSET_NODE_PARAMS_v2);
    SIZE(CUDA_MEMCPY_NODE_PARAMS);
    SIZE(CUDA_HOST_NODE_PARAMS);
    SIZE(CUDA_BATCH_MEM_OP_NODE_PARAMS);
    SIZE(CUDA_MEM_ALLOC_NODE_PARAMS);
    AT(CUDA_MEM_ALLOC_NODE_PARAMS, dptr);
    SIZE(CUDA_CONDITIONAL_NODE_PARAMS);
    SIZE(CUgraphNodeParams);
    AT(CUgraphNodeParams, kernel);
    AT(CUgraphNodeParams, reserved2);
    SIZE(CUDA_GRAPH_INSTANTIATE_PARAMS);
    SIZE(CUgraphExecUpdateResultInfo);
    SIZE(CUgraphEdgeData);
}

static void layouts_of_processes(void)
{
    SIZE(CUctxCreateParams);
    SIZE(CUexecAffinityParam);
    SIZE(CUdevResource);
    SIZE(CUcheckpointLockArgs);
    SIZE(CUcheckpointCheckpointArgs);
    SIZE(CUcheckpointGpuPair);
    SIZE(CUcheckpointRestoreArgs);
    AT(CUcheckpointRestoreArgs, gpuPairsCount);
    SIZE(CUcheckpointUnlockArgs);
}

/* A second declaration with other types is an error. */
static void prototypes(void)
{
#define X(name, symbol, since, params) printf("CUresult " #symbol " %s;\n", #params);
#define PTSZ(name, symbol, since, params, args) \
    X(name, symbol, since, params)              \
    printf("CUresult " #symbol "_ptsz %s;\n", #params);
#define PTDS(name, symbol, since, params, args) \
    X(name, symbol, since, params)              \
    printf("CUresult " #symbol "_ptds %s;\n", #params);
#include "cuda/api.def"
#undef X
#undef PTSZ
#undef PTDS
}

int main(void)
{
    puts("#define __CUDA_API_VERSION_INTERNAL\n#include <cuda.h>");
    values();
    layouts_of_memory();
    layouts_of_work();
    layouts_of_processes();
    prototypes();
    return 0;
}
