/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of arrays and mipmaps. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/array.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/wait.h"

struct CUmipmappedArray_st {
    CUarray levels[32];
    unsigned int count;
    gs_chunk *chunk;
    CUdeviceptr at;
    uint64_t size;
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
};

#define ARRAY(array) CHECK(gs_handle_is(array, KIND_ARRAY), CUDA_ERROR_INVALID_HANDLE)
#define MIPMAP(mipmap) CHECK(gs_handle_is(mipmap, KIND_MIPMAP), CUDA_ERROR_INVALID_HANDLE)

static CUresult place(CUcontext ctx, uint64_t size, gs_chunk **chunk, CUdeviceptr *at)
{
    TRY(gs_capture_unsafe());
    TRY(gs_chunk_new(ctx->device, gs_granules(size), false, chunk));
    return gs_chunk_place(*chunk, at) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult create(CUcontext ctx, CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    gs_chunk *chunk;
    CUdeviceptr at;
    CHECK(array && gs_array_valid(descriptor), CUDA_ERROR_INVALID_VALUE);
    TRY(place(ctx, gs_array_bytes(descriptor), &chunk, &at));
    *array = gs_array_new(ctx, descriptor, chunk, at);
    return CUDA_SUCCESS;
}

CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *flat)
{
    ENTER(NEED_CONTEXT);
    CHECK(flat, CUDA_ERROR_INVALID_VALUE);
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = flat->Width,
                                          .Height = flat->Height,
                                          .Format = flat->Format,
                                          .NumChannels = flat->NumChannels};
    return create(call.ctx, array, &descriptor);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    ENTER(NEED_CONTEXT);
    CHECK(descriptor, CUDA_ERROR_INVALID_VALUE);
    return create(call.ctx, array, descriptor);
}

CUresult cuArrayDestroy(CUarray array)
{
    ENTER(NEED_INIT);
    ARRAY(array);
    CHECK(array->chunk, CUDA_ERROR_INVALID_HANDLE);
    if (gs_context_health(array->ctx) == CUDA_SUCCESS)
        gs_context_wait(array->ctx);
    gs_chunk_remove(array->chunk, array->plane.at);
    gs_handle_free(array);
    return CUDA_SUCCESS;
}

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *descriptor, CUarray array)
{
    ENTER(NEED_INIT);
    ARRAY(array);
    CHECK(descriptor, CUDA_ERROR_INVALID_VALUE);
    *descriptor = array->descriptor;
    return CUDA_SUCCESS;
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *flat, CUarray array)
{
    ENTER(NEED_INIT);
    ARRAY(array);
    CHECK(flat, CUDA_ERROR_INVALID_VALUE);
    *flat = (CUDA_ARRAY_DESCRIPTOR){array->descriptor.Width, array->descriptor.Height,
                                    array->descriptor.Format, array->descriptor.NumChannels};
    return CUDA_SUCCESS;
}

static CUresult requirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out, uint64_t size, CUdevice ordinal)
{
    gs_device *device;
    CHECK(out, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *out = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.alignment = 65536,
                                            .size = (size + 65535) / 65536 * 65536};
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out, CUarray array,
                                      CUdevice ordinal)
{
    ENTER(NEED_INIT);
    ARRAY(array);
    return requirements(out, array->size, ordinal);
}

static CUDA_ARRAY3D_DESCRIPTOR level_shape(const CUDA_ARRAY3D_DESCRIPTOR *base, unsigned int level)
{
    CUDA_ARRAY3D_DESCRIPTOR shape = *base;
    bool layered = base->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
    shape.Width = MAX(base->Width >> level, 1);
    shape.Height = base->Height ? MAX(base->Height >> level, 1) : 0;
    shape.Depth = base->Depth && !layered ? MAX(base->Depth >> level, 1) : base->Depth;
    return shape;
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *mipmap, const CUDA_ARRAY3D_DESCRIPTOR *base,
                                unsigned int levels)
{
    gs_chunk *chunk;
    CUdeviceptr at;
    uint64_t size = 0;
    ENTER(NEED_CONTEXT);
    CHECK(mipmap && base && gs_array_valid(base) && levels > 0 && levels <= 32,
          CUDA_ERROR_INVALID_VALUE);
    for (unsigned int i = 0; i < levels; i++) {
        CUDA_ARRAY3D_DESCRIPTOR level = level_shape(base, i);
        size += gs_array_bytes(&level);
    }
    TRY(place(call.ctx, size, &chunk, &at));
    *mipmap = gs_handle_new(KIND_MIPMAP, sizeof **mipmap);
    **mipmap = (struct CUmipmappedArray_st){
        .count = levels, .chunk = chunk, .at = at, .size = size, .descriptor = *base};
    for (unsigned int i = 0; i < levels; i++) {
        CUDA_ARRAY3D_DESCRIPTOR level = level_shape(base, i);
        (*mipmap)->levels[i] = gs_array_new(call.ctx, &level, NULL, at);
        at += gs_array_bytes(&level);
    }
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetLevel(CUarray *array, CUmipmappedArray mipmap, unsigned int level)
{
    ENTER(NEED_INIT);
    MIPMAP(mipmap);
    CHECK(array && level < mipmap->count, CUDA_ERROR_INVALID_VALUE);
    *array = mipmap->levels[level];
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray mipmap)
{
    ENTER(NEED_INIT);
    MIPMAP(mipmap);
    for (unsigned int i = 0; i < mipmap->count; i++)
        gs_handle_free(mipmap->levels[i]);
    gs_chunk_remove(mipmap->chunk, mipmap->at);
    gs_handle_free(mipmap);
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out,
                                               CUmipmappedArray mipmap, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    MIPMAP(mipmap);
    return requirements(out, mipmap->size, ordinal);
}
