/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is told of its pointers: its own allocations, not the blocks and chunks behind them. */
#include "swap/blocks/heap.h"

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr pointer)
{
    struct gs_allocation found;
    if (!gs_heap_find(pointer, &found))
        return cuda()->cuMemGetAddressRange_v2(base, size, pointer);
    if (base)
        *base = found.at;
    if (size)
        *size = found.bytes;
    return CUDA_SUCCESS;
}

/* Where the driver would answer for what is mapped there. False where its answer is right. */
static bool answers(const struct gs_allocation *found, CUpointer_attribute attribute, void *value)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)value = found->context; return true;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned int *)value = CU_MEMORYTYPE_DEVICE;
        return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = found->device; return true;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned int *)value = 0; return true;
    case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned int *)value = 1; return true;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: *(unsigned int *)value = 1; return true;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: *(unsigned long long *)value = 0; return true;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: *(CUmemoryPool *)value = NULL; return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR: *(CUdeviceptr *)value = found->at; return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: *(size_t *)value = found->bytes; return true;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)value = found->id;
        return true;
    default: return false;
    }
}

CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    struct gs_allocation found;
    if (value && gs_heap_find(pointer, &found) && answers(&found, attribute, value))
        return CUDA_SUCCESS;
    return cuda()->cuPointerGetAttribute(value, attribute, pointer);
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes, void **values,
                                CUdeviceptr pointer)
{
    struct gs_allocation found;
    CUresult result = cuda()->cuPointerGetAttributes(count, attributes, values, pointer);
    if (result != CUDA_SUCCESS || !gs_heap_find(pointer, &found))
        return result;
    for (unsigned int i = 0; i < count; i++)
        answers(&found, attributes[i], values[i]);
    return result;
}
