/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/graph_memory.h"

#include <sys/mman.h>

#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/memory/arena.h"
#include "cuda/memory/range.h"

typedef struct spare {
    gs_chunk *chunk;
    struct spare *next;
} spare;

static struct account {
    spare *spares;
    uint64_t used, used_high, reserved, reserved_high;
} accounts[GS_MAX_DEVICES];

/* Reserved addresses can be touched without harm and are not charged. */
static void map_uncharged(CUdeviceptr at, uint64_t size)
{
    mmap(gs_bytes(at), size, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

CUresult gs_graph_memory_reserve(int device, size_t size, CUdeviceptr *at)
{
    CHECK(size, CUDA_ERROR_INVALID_VALUE);
    uint64_t whole = gs_granules(size);
    *at = gs_arena_take(whole, GS_GRANULE, 0);
    CHECK(*at, CUDA_ERROR_OUT_OF_MEMORY);
    map_uncharged(*at, whole);
    gs_range_add(&(gs_range){
        .base = *at, .size = size, .kind = RANGE_GRAPH, .device = device, .chunk_offset = whole});
    return CUDA_SUCCESS;
}

static CUresult spare_or_new_chunk(int device, uint64_t whole, gs_chunk **chunk)
{
    struct account *account = &accounts[device];
    for (spare **link = &account->spares; *link; link = &(*link)->next)
        if ((*link)->chunk->size == whole) {
            spare *match = *link;
            *chunk = match->chunk;
            *link = match->next;
            free(match);
            return CUDA_SUCCESS;
        }
    TRY(gs_chunk_new(device, whole, false, chunk));
    account->reserved += whole;
    account->reserved_high = MAX(account->reserved_high, account->reserved);
    return CUDA_SUCCESS;
}

CUresult gs_graph_memory_map(CUdeviceptr at, bool free_first)
{
    gs_range *range = gs_range_at(at);
    CHECK(range, CUDA_ERROR_INVALID_VALUE);
    if (range->chunk && free_first)
        TRY(gs_graph_memory_free(range->base));
    CHECK(!range->chunk, CUDA_ERROR_INVALID_VALUE); /* the previous launch allocated it */
    TRY(spare_or_new_chunk(range->device, range->chunk_offset, &range->chunk));
    gs_chunk_map(range->chunk, 0, range->base, range->chunk_offset, PROT_READ | PROT_WRITE);
    struct account *account = &accounts[range->device];
    account->used += range->size;
    account->used_high = MAX(account->used_high, account->used);
    return CUDA_SUCCESS;
}

CUresult gs_graph_memory_free(CUdeviceptr at)
{
    gs_range *range = gs_range_at(at);
    CHECK(range && range->kind == RANGE_GRAPH && range->chunk, CUDA_ERROR_INVALID_VALUE);
    spare *kept = malloc(sizeof *kept);
    *kept = (spare){range->chunk, accounts[range->device].spares};
    accounts[range->device].spares = kept;
    accounts[range->device].used -= range->size;
    range->chunk = NULL;
    map_uncharged(range->base, range->chunk_offset);
    return CUDA_SUCCESS;
}

void gs_graph_memory_forget(CUdeviceptr at)
{
    gs_range *range = gs_range_at(at);
    /* The program still uses it and may free it later. */
    if (!range || range->chunk)
        return;
    gs_arena_unmap(range->base, range->chunk_offset);
    gs_arena_give(range->base, range->chunk_offset);
    gs_range_remove(range);
}

CUresult cuDeviceGraphMemTrim(CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    struct account *account = &accounts[sim.visible[ordinal]];
    while (account->spares) {
        spare *first = account->spares;
        account->spares = first->next;
        account->reserved -= first->chunk->size;
        gs_chunk_drop(first->chunk);
        free(first);
    }
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice ordinal, CUgraphMem_attribute attribute, void *value)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(value && (int)attribute >= 0 && attribute <= CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH,
          CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    const struct account *account = &accounts[sim.visible[ordinal]];
    const uint64_t values[] = {account->used, account->used_high, account->reserved,
                               account->reserved_high};
    *(uint64_t *)value = values[attribute];
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice ordinal, CUgraphMem_attribute attribute, void *value)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(value && *(uint64_t *)value == 0, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    struct account *account = &accounts[sim.visible[ordinal]];
    if (attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)
        account->used_high = account->used;
    else if (attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
        account->reserved_high = account->reserved;
    else
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}
