/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/arena.h"

#include <sys/mman.h>

typedef struct span {
    uint64_t start, end;
    struct span *next;
} span;

static char *addresses, *bytes;
static uint64_t arena; /* size of each */
static span *vacant;

static bool reserve_pair(uint64_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *first = mmap(NULL, size, PROT_NONE, flags, -1, 0), *second;
    if (first == MAP_FAILED)
        return false;
    second = mmap(NULL, size, PROT_NONE, flags, -1, 0);
    if (second == MAP_FAILED) {
        munmap(first, size);
        return false;
    }
    addresses = first;
    bytes = second;
    arena = size;
    return true;
}

/* As much as the address space of the process has room for: sanitizers use most of it. */
static bool reserve(void)
{
    if (addresses)
        return true;
    for (uint64_t size = 8ull << 40; size >= 16ull << 30 && !addresses; size /= 4)
        reserve_pair(size);
    if (!addresses)
        return false;
    uint64_t base = (uintptr_t)addresses;
    uint64_t first = (base + GS_GRANULE - 1) / GS_GRANULE * GS_GRANULE;
    vacant = malloc(sizeof *vacant);
    *vacant = (span){first, base + arena, NULL};
    return true;
}

static CUdeviceptr cut(span **link, uint64_t start, uint64_t size)
{
    span *area = *link;
    if (area->end > start + size) {
        span *after = malloc(sizeof *after);
        *after = (span){start + size, area->end, area->next};
        area->next = after;
    }
    area->end = start;
    if (area->start == area->end) {
        *link = area->next;
        free(area);
    }
    return start;
}

CUdeviceptr gs_arena_take(uint64_t size, uint64_t alignment, CUdeviceptr hint)
{
    if (!reserve())
        return 0;
    alignment = MAX(alignment, GS_GRANULE);
    for (span **link = &vacant; hint && *link; link = &(*link)->next)
        if (hint >= (*link)->start && hint % alignment == 0 && hint + size <= (*link)->end)
            return cut(link, hint, size);
    for (span **link = &vacant; *link; link = &(*link)->next) {
        uint64_t start = ((*link)->start + alignment - 1) / alignment * alignment;
        if (start + size <= (*link)->end)
            return cut(link, start, size);
    }
    return 0;
}

void gs_arena_give(CUdeviceptr at, uint64_t size)
{
    span **link = &vacant;
    while (*link && (*link)->end < at)
        link = &(*link)->next;
    if (*link && (*link)->end == at) {
        (*link)->end = at + size;
    } else {
        span *added = malloc(sizeof *added);
        *added = (span){at, at + size, *link};
        *link = added;
    }
    span *next = (*link)->next;
    if (next && next->start == (*link)->end) {
        (*link)->end = next->end;
        (*link)->next = next->next;
        free(next);
    }
}

void *gs_bytes(CUdeviceptr at)
{
    uint64_t base = (uintptr_t)addresses;
    if (addresses && at >= base && at < base + arena)
        return bytes + (at - base);
    return (void *)(uintptr_t)at;
}

void gs_arena_unmap(CUdeviceptr at, uint64_t size)
{
    mmap(gs_bytes(at), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
         0);
}
