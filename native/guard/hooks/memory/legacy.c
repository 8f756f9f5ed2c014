/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation calls from before CUDA 3.2. */
#include "charge/pressure.h"
#include "hooks/memory/alloc.h"

static CUresult record_pointer(CUresult result, const struct gs_place *place, uint64_t bytes,
                               const CUdeviceptr_v1 *pointer)
{
    return gs_record(result, place, GS_POINTER, result == CUDA_SUCCESS ? *pointer : 0, bytes);
}

CUresult cuMemAlloc(CUdeviceptr_v1 *pointer, unsigned int bytes)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0)
        return cuda()->cuMemAlloc(pointer, bytes);
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, bytes))
        return gs_refuse(place.gpu);
    return record_pointer(cuda()->cuMemAlloc(pointer, bytes), &place, bytes, pointer);
}

CUresult cuMemAllocPitch(CUdeviceptr_v1 *pointer, unsigned int *pitch, unsigned int width,
                         unsigned int height, unsigned int element)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0)
        return cuda()->cuMemAllocPitch(pointer, pitch, width, height, element);
    uint64_t bytes = ((uint64_t)width + 511) / 512 * 512 * height;
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, bytes))
        return gs_refuse(place.gpu);
    return record_pointer(cuda()->cuMemAllocPitch(pointer, pitch, width, height, element), &place,
                          bytes, pointer);
}

CUresult cuMemFree(CUdeviceptr_v1 pointer)
{
    GS_FREEING(GS_POINTER, pointer, cuda()->cuMemFree(pointer));
}
