/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/copy.h"

#include <sys/mman.h>

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/memory/arena.h"
#include "cuda/memory/array.h"
#include "cuda/memory/range.h"
#include "cuda/execution/in_flight.h"
#include "cuda/execution/timeline.h"
#include "machine/residue.h"

typedef struct side {
    CUdeviceptr at; /* address of the first byte */
    size_t pitch, slice;
    bool on_device;
} side;

static bool in_device_memory(CUdeviceptr at)
{
    const gs_range *range = gs_range_find(at);
    return range && range->kind != RANGE_HOST && range->kind != RANGE_REGISTERED;
}

static side from_array(CUarray array, size_t x, size_t y, size_t z)
{
    gs_plane plane = {0};
    if (!gs_array_plane(array, &plane))
        return (side){0};
    return (side){plane.at + x + plane.pitch * (y + plane.height * z), plane.pitch,
                  plane.pitch * plane.height, true};
}

static side linear(CUmemorytype type, const void *host, CUdeviceptr device, const size_t at[3],
                   size_t pitch, size_t height, const CUDA_MEMCPY3D *copy)
{
    CUdeviceptr base = type == CU_MEMORYTYPE_HOST ? (uintptr_t)host : device;
    pitch = pitch ? pitch : copy->WidthInBytes + at[0];
    size_t slice = pitch * (height ? height : copy->Height + at[1]);
    return (side){base + at[0] + pitch * at[1] + slice * at[2], pitch, slice,
                  type != CU_MEMORYTYPE_HOST && in_device_memory(base)};
}

static side source(const CUDA_MEMCPY3D *copy)
{
    if (copy->srcMemoryType == CU_MEMORYTYPE_ARRAY)
        return from_array(copy->srcArray, copy->srcXInBytes, copy->srcY, copy->srcZ);
    return linear(copy->srcMemoryType, copy->srcHost, copy->srcDevice,
                  (size_t[]){copy->srcXInBytes, copy->srcY, copy->srcZ}, copy->srcPitch,
                  copy->srcHeight, copy);
}

static side target(const CUDA_MEMCPY3D *copy)
{
    if (copy->dstMemoryType == CU_MEMORYTYPE_ARRAY)
        return from_array(copy->dstArray, copy->dstXInBytes, copy->dstY, copy->dstZ);
    return linear(copy->dstMemoryType, copy->dstHost, copy->dstDevice,
                  (size_t[]){copy->dstXInBytes, copy->dstY, copy->dstZ}, copy->dstPitch,
                  copy->dstHeight, copy);
}

/* Every byte of a device address range must have memory. Only VMM mappings may be crossed. */
static bool backed(CUdeviceptr at, uint64_t size)
{
    while (size > 0) {
        const gs_range *range = gs_range_find(at);
        if (!range || (range->kind == RANGE_MAPPED && !range->flags))
            return false;
        uint64_t here = MIN(size, range->base + range->size - at);
        if (here < size && range->kind != RANGE_MAPPED)
            return false;
        at += here;
        size -= here;
    }
    return true;
}

static uint64_t span_of(side side, const CUDA_MEMCPY3D *copy)
{
    return side.slice * (copy->Depth - 1) + side.pitch * (copy->Height - 1) + copy->WidthInBytes;
}

static bool usable(side side, CUmemorytype type, const CUDA_MEMCPY3D *copy)
{
    uint64_t span = span_of(side, copy);
    if (!side.at || side.pitch < copy->WidthInBytes)
        return false;
    if (type == CU_MEMORYTYPE_HOST || type == CU_MEMORYTYPE_ARRAY)
        return true;
    /* With unified addressing any host pointer is also a "device" pointer. */
    if (gs_bytes(side.at) == (void *)(uintptr_t)side.at)
        return type == CU_MEMORYTYPE_UNIFIED || backed(side.at, span);
    return backed(side.at, span);
}

CUresult gs_copy_check(const CUDA_MEMCPY3D *copy)
{
    if (!copy->WidthInBytes || !copy->Height || !copy->Depth)
        return CUDA_SUCCESS;
    CHECK(usable(source(copy), copy->srcMemoryType, copy)
              && usable(target(copy), copy->dstMemoryType, copy),
          CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult gs_memset_check(const CUDA_MEMSET_NODE_PARAMS *fill)
{
    CUDA_MEMCPY3D extent = gs_copy_linear(fill->dst, fill->dst, fill->width * fill->elementSize);
    extent.srcMemoryType = extent.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    extent.Height = fill->height;
    extent.srcPitch = extent.dstPitch = fill->height > 1 ? fill->pitch : 0;
    return gs_copy_check(&extent);
}

static void note(CUdeviceptr at, const void *bytes, uint64_t size)
{
    const gs_range *range = gs_range_find(at);
    if (range && range->device >= 0)
        gs_residue_note(sim.image, gs_home(range->device), bytes, size);
}

void gs_copy_run(const CUDA_MEMCPY3D *copy)
{
    side from = source(copy), to = target(copy);
    for (size_t z = 0; z < copy->Depth; z++)
        for (size_t y = 0; y < copy->Height; y++)
            memmove(gs_bytes(to.at + to.slice * z + to.pitch * y),
                    gs_bytes(from.at + from.slice * z + from.pitch * y), copy->WidthInBytes);
    if (to.on_device && !from.on_device)
        note(to.at, gs_bytes(to.at), copy->WidthInBytes * copy->Height * copy->Depth);
}

void gs_copy_in_flight(CUcontext ctx, const CUDA_MEMCPY3D *copy, uint64_t until)
{
    side from = source(copy), to = target(copy);
    gs_in_flight(ctx, from.at, span_of(from, copy), until);
    gs_in_flight(ctx, to.at, span_of(to, copy), until);
}

uint64_t gs_copy_time(CUcontext ctx, const CUDA_MEMCPY3D *copy)
{
    uint64_t bytes = copy->WidthInBytes * copy->Height * copy->Depth;
    return gs_copy_ns(ctx->device, bytes, !source(copy).on_device || !target(copy).on_device);
}

CUDA_MEMCPY3D gs_copy_linear(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_UNIFIED,
                           .srcDevice = from,
                           .dstMemoryType = CU_MEMORYTYPE_UNIFIED,
                           .dstDevice = to,
                           .WidthInBytes = bytes,
                           .Height = 1,
                           .Depth = 1};
}

static void fill_row(unsigned char *row, const CUDA_MEMSET_NODE_PARAMS *fill)
{
    if (fill->elementSize == 1) {
        memset(row, (int)fill->value, fill->width);
        return;
    }
    for (size_t i = 0; i < fill->width; i++)
        if (fill->elementSize == 2)
            ((uint16_t *)row)[i] = (uint16_t)fill->value;
        else
            ((uint32_t *)row)[i] = fill->value;
}

/* Zeroing whole granules frees their pages instead of touching them. */
static bool punch_hole(const CUDA_MEMSET_NODE_PARAMS *fill)
{
    uint64_t size = fill->width * fill->elementSize;
    return fill->value == 0 && fill->height == 1 && size >= GS_GRANULE && fill->dst % 4096 == 0
           && size % 4096 == 0 && madvise(gs_bytes(fill->dst), size, MADV_REMOVE) == 0;
}

void gs_memset_run(const CUDA_MEMSET_NODE_PARAMS *fill)
{
    const bool punched = punch_hole(fill);
    const uint64_t size = fill->width * fill->elementSize * fill->height;
    for (size_t y = 0; !punched && y < fill->height; y++)
        fill_row((unsigned char *)gs_bytes(fill->dst) + y * fill->pitch, fill);
    note(fill->dst, gs_bytes(fill->dst), size);
}
