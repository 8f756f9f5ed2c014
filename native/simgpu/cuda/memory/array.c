/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/array.h"

#include "cuda/core/handle.h"

static size_t element_size(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    switch ((int)descriptor->Format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
    case CU_AD_FORMAT_NV12: return descriptor->NumChannels;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 2 * descriptor->NumChannels;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 4 * descriptor->NumChannels;
    default: return 0;
    }
}

static gs_plane shape(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    size_t pitch = (descriptor->Width * element_size(descriptor) + 511) / 512 * 512;
    return (gs_plane){0, pitch, MAX(descriptor->Height, 1), MAX(descriptor->Depth, 1)};
}

uint64_t gs_array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    gs_plane plane = shape(descriptor);
    return plane.pitch * plane.height * plane.depth;
}

bool gs_array_valid(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    unsigned int channels = descriptor->NumChannels;
    return descriptor->Width && element_size(descriptor)
           && (channels == 1 || channels == 2 || channels == 4) && descriptor->Width <= 131072
           && descriptor->Height <= 131072 && descriptor->Depth <= 16384;
}

CUarray gs_array_new(CUcontext ctx, const CUDA_ARRAY3D_DESCRIPTOR *descriptor, gs_chunk *chunk,
                     CUdeviceptr at)
{
    CUarray array = gs_handle_new(KIND_ARRAY, sizeof *array);
    array->descriptor = *descriptor;
    array->plane = shape(descriptor);
    array->plane.at = at;
    array->chunk = chunk;
    array->size = gs_array_bytes(descriptor);
    array->ctx = ctx;
    return array;
}

bool gs_array_plane(CUarray array, gs_plane *plane)
{
    if (!gs_handle_is(array, KIND_ARRAY))
        return false;
    *plane = array->plane;
    return true;
}
