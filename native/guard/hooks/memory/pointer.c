/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program learns about its pointers: its allocations, not the blocks and chunks behind them.
 */
#include "hooks/memory/ipc.h"
#include "swap/blocks/heap.h"

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr pointer)
{
    struct gs_allocation allocation;
    if (!gs_heap_find(pointer, &allocation)
        && !gs_ipc_find(pointer, &allocation.at, &allocation.bytes))
        return cuda()->cuMemGetAddressRange_v2(base, size, pointer);
    if (base)
        *base = allocation.at;
    if (size)
        *size = allocation.bytes;
    return CUDA_SUCCESS;
}

/* Answers where the driver would describe the chunk. False where its answer is right. */
static bool answers(const struct gs_allocation *allocation, CUpointer_attribute attribute,
                    void *value)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)value = allocation->context; return true;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned int *)value = CU_MEMORYTYPE_DEVICE;
        return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = allocation->device; return true;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned int *)value = 0; return true;
    case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned int *)value = 1; return true;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: *(unsigned int *)value = 1; return true;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: *(unsigned long long *)value = 0; return true;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: *(CUmemoryPool *)value = NULL; return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        *(CUdeviceptr *)value = allocation->at;
        return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: *(size_t *)value = allocation->bytes; return true;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)value = allocation->id;
        return true;
    default: return false;
    }
}

CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    struct gs_allocation allocation;
    if (value && gs_heap_find(pointer, &allocation) && answers(&allocation, attribute, value))
        return CUDA_SUCCESS;
    return cuda()->cuPointerGetAttribute(value, attribute, pointer);
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes, void **values,
                                CUdeviceptr pointer)
{
    struct gs_allocation allocation;
    CUresult result = cuda()->cuPointerGetAttributes(count, attributes, values, pointer);
    if (result != CUDA_SUCCESS || !gs_heap_find(pointer, &allocation))
        return result;
    for (unsigned int i = 0; i < count; i++)
        answers(&allocation, attributes[i], values[i]);
    return result;
}
