/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA arrays: opaque layouts whose size only the driver knows. */
#include "charge/pressure.h"
#include "driver/quiesce.h"
#include "hooks/memory/alloc.h"

enum { NO_MEMORY = CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING };

static uint64_t element_bytes(CUarray_format format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8: return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 2;
    default: return 4;
    }
}

static uint64_t at_least_one(uint64_t extent)
{
    return extent ? extent : 1;
}

static uint64_t plain_bytes(const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned level)
{
    bool layered = shape->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
    uint64_t texel = element_bytes(shape->Format) * at_least_one(shape->NumChannels);
    uint64_t row = gs_times(at_least_one(shape->Width >> level), texel);
    uint64_t depth = layered ? shape->Depth : shape->Depth >> level;
    return gs_times(gs_times(row, at_least_one(shape->Height >> level)), at_least_one(depth));
}

static uint64_t all_levels(const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels)
{
    uint64_t sum = 0, bytes;
    for (unsigned level = 0; level < levels && level < 64; level++)
        if (__builtin_add_overflow(sum, (bytes = plain_bytes(shape, level)), &sum))
            return UINT64_MAX;
    return sum;
}

/* An array without memory (deferred mapping) shows what the layout takes; not in every driver. */
static uint64_t array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *shape, CUdevice device)
{
    CUDA_ARRAY3D_DESCRIPTOR unmapped = *shape;
    CUDA_ARRAY_MEMORY_REQUIREMENTS need = {0};
    CUarray bare;
    unmapped.Flags |= CUDA_ARRAY3D_DEFERRED_MAPPING;
    if (cuda()->cuArray3DCreate_v2(&bare, &unmapped) == CUDA_SUCCESS) {
        cuda()->cuArrayGetMemoryRequirements(&need, bare, device);
        cuda()->cuArrayDestroy(bare);
    }
    uint64_t plain = plain_bytes(shape, 0);
    return need.size > plain ? need.size : plain;
}

static uint64_t mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels, CUdevice device)
{
    CUDA_ARRAY3D_DESCRIPTOR unmapped = *shape;
    CUDA_ARRAY_MEMORY_REQUIREMENTS need = {0};
    CUmipmappedArray bare;
    unmapped.Flags |= CUDA_ARRAY3D_DEFERRED_MAPPING;
    if (cuda()->cuMipmappedArrayCreate(&bare, &unmapped, levels) == CUDA_SUCCESS) {
        cuda()->cuMipmappedArrayGetMemoryRequirements(&need, bare, device);
        cuda()->cuMipmappedArrayDestroy(bare);
    }
    uint64_t plain = all_levels(shape, levels);
    return need.size > plain ? need.size : plain;
}

#define CREATE_ARRAY(space, size, call)                                                         \
    do {                                                                                        \
        uint64_t bytes = size;                                                                  \
        if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, bytes))                                  \
            return gs_refuse(place.gpu);                                                        \
        CUresult result = GS_INSIDE(call);                                                      \
        return gs_record(result, &place, space, result == CUDA_SUCCESS ? (uintptr_t)*array : 0, \
                         bytes);                                                                \
    } while (0)

CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !shape)
        return cuda()->cuArrayCreate_v2(array, shape);
    CUDA_ARRAY3D_DESCRIPTOR full = {.Width = shape->Width,
                                    .Height = shape->Height,
                                    .Format = shape->Format,
                                    .NumChannels = shape->NumChannels};
    CREATE_ARRAY(GS_ARRAY, array_bytes(&full, place.device),
                 cuda()->cuArrayCreate_v2(array, shape));
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !shape || shape->Flags & NO_MEMORY)
        return cuda()->cuArray3DCreate_v2(array, shape);
    CREATE_ARRAY(GS_ARRAY, array_bytes(shape, place.device),
                 cuda()->cuArray3DCreate_v2(array, shape));
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape,
                                unsigned int levels)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !shape || shape->Flags & NO_MEMORY)
        return cuda()->cuMipmappedArrayCreate(array, shape, levels);
    CREATE_ARRAY(GS_MIPMAP, mipmap_bytes(shape, levels, place.device),
                 cuda()->cuMipmappedArrayCreate(array, shape, levels));
}

CUresult cuArrayCreate(CUarray *array, const CUDA_ARRAY_DESCRIPTOR_v1 *shape)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !shape)
        return cuda()->cuArrayCreate(array, shape);
    CUDA_ARRAY3D_DESCRIPTOR full = {.Width = shape->Width,
                                    .Height = shape->Height,
                                    .Format = shape->Format,
                                    .NumChannels = shape->NumChannels};
    CREATE_ARRAY(GS_ARRAY, array_bytes(&full, place.device), cuda()->cuArrayCreate(array, shape));
}

CUresult cuArray3DCreate(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR_v1 *shape)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !shape || shape->Flags & NO_MEMORY)
        return cuda()->cuArray3DCreate(array, shape);
    CUDA_ARRAY3D_DESCRIPTOR full = {.Width = shape->Width,
                                    .Height = shape->Height,
                                    .Depth = shape->Depth,
                                    .Format = shape->Format,
                                    .NumChannels = shape->NumChannels,
                                    .Flags = shape->Flags};
    CREATE_ARRAY(GS_ARRAY, array_bytes(&full, place.device), cuda()->cuArray3DCreate(array, shape));
}

CUresult cuArrayDestroy(CUarray array)
{
    GS_FREEING(GS_ARRAY, (uintptr_t)array, cuda()->cuArrayDestroy(array));
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    GS_FREEING(GS_MIPMAP, (uintptr_t)array, cuda()->cuMipmappedArrayDestroy(array));
}
