/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of pointers. */
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/memory/range.h"

static bool on_host(const gs_range *range)
{
    return range->kind == RANGE_HOST || range->kind == RANGE_REGISTERED;
}

static CUresult attribute_of(const gs_range *range, CUdeviceptr at, CUpointer_attribute attribute,
                             void *value)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)value = range->ctx; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned int *)value = on_host(range) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)value = at; break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        CHECK(on_host(range) || range->kind == RANGE_MANAGED, CUDA_ERROR_INVALID_VALUE);
        *(void **)value = (void *)(uintptr_t)at;
        break;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: *(unsigned int *)value = 0; break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: *(unsigned long long *)value = range->id; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(unsigned int *)value = range->kind == RANGE_MANAGED;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = gs_ordinal_of(range->device); break;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        *(unsigned int *)value = range->kind == RANGE_ALLOC || range->kind == RANGE_SMALL;
        break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(CUdeviceptr *)value = range->base; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)value = range->size; break;
    case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned int *)value = 1; break;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *(unsigned long long *)value =
            range->kind == RANGE_MAPPED ? range->chunk->prop.requestedHandleTypes : 0;
        break;
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE: *(unsigned int *)value = 0; break;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *(unsigned int *)value = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        break;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: *(CUmemoryPool *)value = range->pool; break;
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: *(size_t *)value = range->size; break;
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR: *(CUdeviceptr *)value = range->base; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID: *(unsigned long long *)value = range->id; break;
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE: *(unsigned int *)value = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr at)
{
    ENTER(NEED_INIT);
    const gs_range *range = gs_range_find(at);
    CHECK(value && range, CUDA_ERROR_INVALID_VALUE);
    return attribute_of(range, at, attribute, value);
}

static size_t width(CUpointer_attribute attribute)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE: return 4;
    default: return 8;
    }
}

/* Memory unknown to CUDA gives zeros and success: frameworks recognize host pointers by it. */
CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes, void **values,
                                CUdeviceptr at)
{
    ENTER(NEED_INIT);
    CHECK(attributes && values, CUDA_ERROR_INVALID_VALUE);
    const gs_range *range = gs_range_find(at);
    for (unsigned int i = 0; i < count; i++) {
        memset(values[i], 0, width(attributes[i]));
        if (range)
            attribute_of(range, at, attributes[i], values[i]);
        else if (attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
            *(int *)values[i] = CU_DEVICE_INVALID;
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr at)
{
    ENTER(NEED_INIT);
    CHECK(value && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS && gs_range_find(at),
          CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}
