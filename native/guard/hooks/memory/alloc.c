/* SPDX-License-Identifier: Apache-2.0 */
/* Plain device memory: linear, pitched, managed. */
#include "hooks/memory/alloc.h"

#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "hooks/memory/pool.h"
#include "hooks/setup/context.h"
#include "swap/blocks/heap.h"

#define DEFAULT_HEAP (8ull << 20) /* included in the cost of a context */

enum { PITCH_ALIGNMENT = 512 };

void gs_keep_unmovable(const struct gs_place *place, enum gs_space space, uint64_t key,
                       uint64_t bytes, uint32_t unmovable)
{
    struct gs_entry old, entry = {.space = (uint8_t)space,
                                  .key = key,
                                  .bytes = bytes,
                                  .owner = place->context,
                                  .gpu = (int8_t)place->gpu,
                                  .unmovable = (uint8_t)unmovable};
    gs_unmovable_add(unmovable);
    if (gs_ledger_put(&entry, &old))
        gs_release(&old);
}

void gs_keep(const struct gs_place *place, enum gs_space space, uint64_t key, uint64_t bytes)
{
    bool array = space == GS_ARRAY || space == GS_MIPMAP;
    gs_keep_unmovable(place, space, key, bytes,
                      array                 ? GS_UNMOVABLE_ARRAY
                      : space == GS_POINTER ? GS_UNMOVABLE_LEGACY
                                            : 0);
}

void gs_release(const struct gs_entry *entry)
{
    gs_unmovable_drop(entry->unmovable);
    if (entry->pool)
        gs_pool_returned(entry);
    else
        gs_uncharge(GS_BLOCK, entry->gpu, entry->bytes);
}

CUresult gs_record(CUresult result, const struct gs_place *place, enum gs_space space, uint64_t key,
                   uint64_t bytes)
{
    if (result == CUDA_SUCCESS)
        gs_keep(place, space, key, bytes);
    else
        gs_uncharge(GS_BLOCK, place->gpu, bytes);
    return result;
}

static CUresult record_pointer(CUresult result, const struct gs_place *place, uint64_t bytes,
                               const CUdeviceptr *pointer)
{
    return gs_record(result, place, GS_POINTER, result == CUDA_SUCCESS ? *pointer : 0, bytes);
}

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0 || !pointer || !bytes)
        return cuda()->cuMemAlloc_v2(pointer, bytes);
    if (gs_heap_serves(&place))
        return gs_heap_alloc(&place, bytes, pointer);
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, bytes))
        return gs_refuse(place.gpu);
    return record_pointer(GS_INSIDE(cuda()->cuMemAlloc_v2(pointer, bytes)), &place, bytes, pointer);
}

CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned int flags)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0)
        return cuda()->cuMemAllocManaged(pointer, bytes, flags);
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, bytes))
        return gs_refuse(place.gpu);
    CUresult result = GS_INSIDE(cuda()->cuMemAllocManaged(pointer, bytes, flags));
    if (result == CUDA_SUCCESS)
        gs_keep_unmovable(&place, GS_POINTER, *pointer, bytes, GS_UNMOVABLE_MANAGED);
    else
        gs_uncharge(GS_BLOCK, place.gpu, bytes);
    return result;
}

/* The driver chooses the pitch; an estimate is charged and corrected when it is known. */
static CUresult pitched(const struct gs_place *place, uint64_t estimate, uint64_t taken,
                        CUdeviceptr pointer)
{
    gs_uncharge(GS_BLOCK, place->gpu, estimate);
    if (gs_charge_or_reclaim(GS_BLOCK, place->gpu, taken)) {
        gs_keep(place, GS_POINTER, pointer, taken);
        return CUDA_SUCCESS;
    }
    cuda()->cuMemFree_v2(pointer);
    return gs_refuse(place->gpu);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                            unsigned int element)
{
    struct gs_place place = gs_place_current();
    if (place.gpu < 0)
        return cuda()->cuMemAllocPitch_v2(pointer, pitch, width, height, element);
    uint64_t row = width > SIZE_MAX - PITCH_ALIGNMENT
                       ? width
                       : (width + PITCH_ALIGNMENT - 1) / PITCH_ALIGNMENT * PITCH_ALIGNMENT;
    uint64_t estimate = gs_times(row, height);
    bool sound = pointer && pitch && estimate && (element == 4 || element == 8 || element == 16);
    if (sound && gs_heap_serves(&place)) {
        CUresult result = gs_heap_alloc(&place, estimate, pointer);
        if (result == CUDA_SUCCESS)
            *pitch = row;
        return result;
    }
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, estimate))
        return gs_refuse(place.gpu);
    CUresult result = cuda()->cuMemAllocPitch_v2(pointer, pitch, width, height, element);
    if (result == CUDA_SUCCESS && gs_times(*pitch, height) > estimate)
        return pitched(&place, estimate, gs_times(*pitch, height), *pointer);
    return record_pointer(result, &place, estimate, pointer);
}

CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    CUresult freed;
    if (gs_heap_free(pointer, &freed))
        return freed;
    GS_FREEING(GS_POINTER, pointer, cuda()->cuMemFree_v2(pointer));
}

/* The heap of malloc() in kernels is memory too, of the size that the program sets. */
CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    struct gs_place place = {.gpu = -1};
    if (limit == CU_LIMIT_MALLOC_HEAP_SIZE)
        place = gs_place_current();
    if (place.gpu < 0)
        return cuda()->cuCtxSetLimit(limit, value);
    uint64_t more = value > DEFAULT_HEAP ? value - DEFAULT_HEAP : 0;
    if (!gs_charge_or_reclaim(GS_BLOCK, place.gpu, more))
        return gs_refuse(place.gpu);
    CUresult result = cuda()->cuCtxSetLimit(limit, value);
    return gs_record(result, &place, GS_DEVICE_HEAP, (uintptr_t)place.context, more);
}
