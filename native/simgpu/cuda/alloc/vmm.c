/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual memory management: reserved addresses, physical chunks, and mappings with their access.
 */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/arena.h"
#include "cuda/memory/range.h"
#include "cuda/execution/in_flight.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct reservation {
    CUdeviceptr base;
    uint64_t size;
    struct reservation *next;
} reservation;

static reservation *reservations;

static bool reserved(CUdeviceptr at, uint64_t size)
{
    for (reservation *area = reservations; area; area = area->next)
        if (at >= area->base && at + size <= area->base + area->size)
            return true;
    return false;
}

static gs_chunk *chunk_of(CUmemGenericAllocationHandle handle)
{
    gs_chunk *chunk = (gs_chunk *)(uintptr_t)handle;
    return gs_handle_is(chunk, KIND_CHUNK) && chunk->handles > 0 ? chunk : NULL;
}

CUresult cuMemAddressReserve(CUdeviceptr *at, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags)
{
    ENTER(NEED_INIT);
    CHECK(at && size && size % GS_GRANULE == 0 && flags == 0 && !(alignment & (alignment - 1)),
          CUDA_ERROR_INVALID_VALUE);
    *at = gs_arena_take(size, alignment, hint);
    CHECK(*at, CUDA_ERROR_OUT_OF_MEMORY);
    reservation *area = malloc(sizeof *area);
    *area = (reservation){*at, size, reservations};
    reservations = area;
    return CUDA_SUCCESS;
}

static bool anything_mapped(CUdeviceptr at, uint64_t size)
{
    for (size_t i = 0; i < gs_range_count(); i++) {
        const gs_range *range = gs_range_nth(i);
        if (range->base < at + size && at < range->base + range->size)
            return true;
    }
    return false;
}

CUresult cuMemAddressFree(CUdeviceptr at, size_t size)
{
    ENTER(NEED_INIT);
    for (reservation **link = &reservations; *link; link = &(*link)->next) {
        reservation *area = *link;
        if (area->base != at || area->size != size)
            continue;
        CHECK(!anything_mapped(at, size), CUDA_ERROR_INVALID_VALUE);
        gs_arena_give(at, size);
        *link = area->next;
        free(area);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult location(const CUmemLocation *where, int *device)
{
    *device = -1;
    if (where->type >= CU_MEM_LOCATION_TYPE_HOST
        && where->type <= CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT)
        return CUDA_SUCCESS;
    CHECK(where->type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_INVALID_VALUE);
    CHECK(where->id >= 0 && where->id < sim.count, CUDA_ERROR_INVALID_DEVICE);
    *device = sim.visible[where->id];
    return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                     const CUmemAllocationProp *prop, unsigned long long flags)
{
    int device;
    gs_chunk *chunk;
    ENTER(NEED_INIT);
    CHECK(handle && prop && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED && flags == 0,
          CUDA_ERROR_INVALID_VALUE);
    CHECK(size && size % GS_GRANULE == 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(!((int)prop->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
          CUDA_ERROR_NOT_SUPPORTED);
    TRY(location(&prop->location, &device));
    TRY(gs_chunk_new(device, size, prop->requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE, &chunk));
    chunk->prop = *prop;
    chunk->handles = 1;
    *handle = (uintptr_t)chunk;
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    ENTER(NEED_INIT);
    gs_chunk *chunk = chunk_of(handle);
    CHECK(chunk, CUDA_ERROR_INVALID_VALUE);
    chunk->handles--;
    gs_chunk_drop(chunk);
    return CUDA_SUCCESS;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address)
{
    ENTER(NEED_INIT);
    gs_range *range = gs_range_find((uintptr_t)address);
    CHECK(handle && range && range->kind == RANGE_MAPPED, CUDA_ERROR_INVALID_VALUE);
    range->chunk->handles++;
    range->chunk->refs++;
    *handle = (uintptr_t)range->chunk;
    return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr at, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    ENTER(NEED_INIT);
    gs_chunk *chunk = chunk_of(handle);
    CHECK(chunk && flags == 0 && size && size % GS_GRANULE == 0 && at % GS_GRANULE == 0,
          CUDA_ERROR_INVALID_VALUE);
    CHECK(offset % GS_GRANULE == 0 && offset + size <= chunk->size, CUDA_ERROR_INVALID_VALUE);
    CHECK(reserved(at, size) && !anything_mapped(at, size), CUDA_ERROR_INVALID_VALUE);
    chunk->refs++;
    gs_range_add(&(gs_range){.base = at,
                             .size = size,
                             .kind = RANGE_MAPPED,
                             .device = chunk->device,
                             .chunk = chunk,
                             .chunk_offset = offset});
    return CUDA_SUCCESS;
}

/* Calls take whole mappings only: `act` runs on each range that makes up [at, at + size). */
static CUresult each(CUdeviceptr at, uint64_t size, int access, void (*act)(gs_range *, int))
{
    CUdeviceptr end = at + size;
    for (CUdeviceptr next = at; next < end;) {
        const gs_range *range = gs_range_at(next);
        CHECK(range && range->kind == RANGE_MAPPED && next + range->size <= end,
              CUDA_ERROR_INVALID_VALUE);
        next += range->size;
    }
    while (at < end) {
        gs_range *range = gs_range_at(at);
        at += range->size;
        act(range, access);
    }
    return CUDA_SUCCESS;
}

static void unmap(gs_range *range, int access)
{
    (void)access;
    gs_in_flight_unmap(range);
    gs_arena_unmap(range->base, range->size);
    gs_chunk_drop(range->chunk);
    gs_range_remove(range);
}

static void set_access(gs_range *range, int access)
{
    int protection = access == CU_MEM_ACCESS_FLAGS_PROT_NONE   ? PROT_NONE
                     : access == CU_MEM_ACCESS_FLAGS_PROT_READ ? PROT_READ
                                                               : PROT_READ | PROT_WRITE;
    range->flags = (unsigned int)access;
    gs_chunk_map(range->chunk, range->chunk_offset, range->base, range->size, protection);
}

CUresult cuMemUnmap(CUdeviceptr at, size_t size)
{
    ENTER(NEED_INIT);
    return each(at, size, 0, unmap);
}

CUresult cuMemSetAccess(CUdeviceptr at, size_t size, const CUmemAccessDesc *list, size_t count)
{
    int device;
    ENTER(NEED_INIT);
    CHECK(list && count && size, CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < count; i++) {
        TRY(location(&list[i].location, &device));
        TRY(each(at, size, list[i].flags, set_access));
    }
    return CUDA_SUCCESS;
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *where, CUdeviceptr at)
{
    int device;
    ENTER(NEED_INIT);
    gs_range *range = gs_range_find(at);
    CHECK(flags && where && range && range->kind == RANGE_MAPPED, CUDA_ERROR_INVALID_VALUE);
    TRY(location(where, &device));
    *flags = range->flags;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option)
{
    int device;
    ENTER(NEED_INIT);
    CHECK(granularity && prop && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED
              && option <= CU_MEM_ALLOC_GRANULARITY_RECOMMENDED,
          CUDA_ERROR_INVALID_VALUE);
    TRY(location(&prop->location, &device));
    *granularity = GS_GRANULE;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                CUmemGenericAllocationHandle handle)
{
    ENTER(NEED_INIT);
    gs_chunk *chunk = chunk_of(handle);
    CHECK(prop && chunk, CUDA_ERROR_INVALID_VALUE);
    *prop = chunk->prop;
    return CUDA_SUCCESS;
}

CUresult cuMemExportToShareableHandle(void *out, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags)
{
    ENTER(NEED_INIT);
    gs_chunk *chunk = chunk_of(handle);
    CHECK(out && chunk && flags == 0, CUDA_ERROR_INVALID_VALUE);
    CHECK(type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && chunk->own_fd,
          CUDA_ERROR_INVALID_VALUE);
    int fd = fcntl(chunk->fd, F_DUPFD_CLOEXEC, 0);
    CHECK(fd >= 0, CUDA_ERROR_OPERATING_SYSTEM);
    *(int *)out = fd;
    return CUDA_SUCCESS;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *from,
                                        CUmemAllocationHandleType type)
{
    ENTER(NEED_INIT);
    CHECK(handle && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, CUDA_ERROR_INVALID_VALUE);
    gs_chunk *chunk = gs_chunk_from_fd((int)(intptr_t)from);
    CHECK(chunk, CUDA_ERROR_INVALID_VALUE);
    chunk->handles = 1;
    /* -2 for a GPU that is not visible, as driver 580 answers. */
    int ordinal = chunk->device < 0 ? 0 : gs_ordinal_of(chunk->device);
    chunk->prop =
        (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                              .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                              .location = {chunk->device < 0 ? CU_MEM_LOCATION_TYPE_HOST
                                                             : CU_MEM_LOCATION_TYPE_DEVICE,
                                           ordinal < 0 ? -2 : ordinal}};
    *handle = (uintptr_t)chunk;
    return CUDA_SUCCESS;
}
