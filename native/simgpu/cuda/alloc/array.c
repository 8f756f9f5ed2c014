/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays and mipmaps. They are kept as plain rows, so copies in and out move real bytes. */
#include "cuda/core/sim.h"

#include <sys/mman.h>

struct CUarray_st {
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    gs_plane plane;
    gs_chunk *chunk; /* NULL: a level of a mipmap */
    uint64_t size;
    CUcontext ctx;
};

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

static size_t element_size(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    switch ((int)descriptor->Format) {
    case CU_AD_FORMAT_UNSIGNED_INT8: case CU_AD_FORMAT_SIGNED_INT8: case CU_AD_FORMAT_NV12:
        return descriptor->NumChannels;
    case CU_AD_FORMAT_UNSIGNED_INT16: case CU_AD_FORMAT_SIGNED_INT16: case CU_AD_FORMAT_HALF:
        return 2 * descriptor->NumChannels;
    case CU_AD_FORMAT_UNSIGNED_INT32: case CU_AD_FORMAT_SIGNED_INT32: case CU_AD_FORMAT_FLOAT:
        return 4 * descriptor->NumChannels;
    default:
        return 0;
    }
}

static gs_plane shape(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    size_t pitch = (descriptor->Width * element_size(descriptor) + 511) / 512 * 512;
    return (gs_plane){0, pitch, MAX(descriptor->Height, 1), MAX(descriptor->Depth, 1)};
}

static uint64_t bytes_of(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    gs_plane plane = shape(descriptor);
    return plane.pitch * plane.height * plane.depth;
}

static bool sensible(const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    unsigned int channels = descriptor->NumChannels;
    return descriptor->Width && element_size(descriptor) && (channels == 1 || channels == 2 || channels == 4)
           && descriptor->Width <= 131072 && descriptor->Height <= 131072 && descriptor->Depth <= 16384;
}

static CUresult place(CUcontext ctx, uint64_t size, gs_chunk **chunk, CUdeviceptr *at)
{
    uint64_t whole = (size + GS_GRANULE - 1) / GS_GRANULE * GS_GRANULE;
    TRY(gs_capture_unsafe());
    TRY(gs_chunk_new(ctx->device, whole, false, chunk));
    *at = gs_arena_take(whole, GS_GRANULE, 0);
    if (*at && gs_chunk_map(*chunk, 0, *at, whole, PROT_READ | PROT_WRITE))
        return CUDA_SUCCESS;
    gs_chunk_drop(*chunk);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static void remove_bytes(gs_chunk *chunk, CUdeviceptr at)
{
    gs_arena_unmap(at, chunk->size);
    gs_arena_give(at, chunk->size);
    gs_chunk_drop(chunk);
}

static CUarray array_new(CUcontext ctx, const CUDA_ARRAY3D_DESCRIPTOR *descriptor, gs_chunk *chunk, CUdeviceptr at)
{
    CUarray array = gs_handle_new(KIND_ARRAY, sizeof *array);
    array->descriptor = *descriptor;
    array->plane = shape(descriptor);
    array->plane.at = at;
    array->chunk = chunk;
    array->size = bytes_of(descriptor);
    array->ctx = ctx;
    return array;
}

static CUresult create(CUcontext ctx, CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    gs_chunk *chunk;
    CUdeviceptr at;
    CHECK(array && sensible(descriptor), CUDA_ERROR_INVALID_VALUE);
    TRY(place(ctx, bytes_of(descriptor), &chunk, &at));
    *array = array_new(ctx, descriptor, chunk, at);
    return CUDA_SUCCESS;
}

bool gs_array_plane(CUarray array, gs_plane *plane)
{
    if (!gs_handle_is(array, KIND_ARRAY))
        return false;
    *plane = array->plane;
    return true;
}

CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *flat)
{
    ENTER(NEED_CONTEXT);
    CHECK(flat, CUDA_ERROR_INVALID_VALUE);
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = flat->Width, .Height = flat->Height, .Format = flat->Format,
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
        gs_context_wait(&call, array->ctx);
    remove_bytes(array->chunk, array->plane.at);
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
    *flat = (CUDA_ARRAY_DESCRIPTOR){array->descriptor.Width, array->descriptor.Height, array->descriptor.Format,
                                    array->descriptor.NumChannels};
    return CUDA_SUCCESS;
}

static CUresult requirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out, uint64_t size, CUdevice ordinal)
{
    gs_device *device;
    CHECK(out, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *out = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.alignment = 65536, .size = (size + 65535) / 65536 * 65536};
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out, CUarray array, CUdevice ordinal)
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

CUresult cuMipmappedArrayCreate(CUmipmappedArray *mipmap, const CUDA_ARRAY3D_DESCRIPTOR *base, unsigned int levels)
{
    gs_chunk *chunk;
    CUdeviceptr at;
    uint64_t size = 0;
    ENTER(NEED_CONTEXT);
    CHECK(mipmap && base && sensible(base) && levels > 0 && levels <= 32, CUDA_ERROR_INVALID_VALUE);
    for (unsigned int i = 0; i < levels; i++) {
        CUDA_ARRAY3D_DESCRIPTOR level = level_shape(base, i);
        size += bytes_of(&level);
    }
    TRY(place(call.ctx, size, &chunk, &at));
    *mipmap = gs_handle_new(KIND_MIPMAP, sizeof **mipmap);
    **mipmap = (struct CUmipmappedArray_st){.count = levels, .chunk = chunk, .at = at, .size = size,
                                            .descriptor = *base};
    for (unsigned int i = 0; i < levels; i++) {
        CUDA_ARRAY3D_DESCRIPTOR level = level_shape(base, i);
        (*mipmap)->levels[i] = array_new(call.ctx, &level, NULL, at);
        at += bytes_of(&level);
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
    remove_bytes(mipmap->chunk, mipmap->at);
    gs_handle_free(mipmap);
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *out, CUmipmappedArray mipmap,
                                               CUdevice ordinal)
{
    ENTER(NEED_INIT);
    MIPMAP(mipmap);
    return requirements(out, mipmap->size, ordinal);
}
