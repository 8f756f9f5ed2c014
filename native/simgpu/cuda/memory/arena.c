/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device addresses and the bytes behind them. Two address ranges of the same size: programs get addresses in
 * the first, which is inaccessible to the CPU as device memory is; the bytes are mapped at the same place in
 * the second. Physical memory is a sparse memfd, so it costs only what is touched, is shared with other
 * processes by mapping it, and vanishes with the last process however that ends.
 */
#include "cuda/core/sim.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct span {
    uint64_t start, end;
    struct span *next;
} span;

static char *addresses, *bytes;
static uint64_t arena; /* size of each */
static span *vacant;
static int heap_fd = -1;
static off_t heap_end;

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

/* As much as the machine's address space, or a sanitizer that shares it, leaves room for. */
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
    span *found = *link;
    if (found->end > start + size) {
        span *after = malloc(sizeof *after);
        *after = (span){start + size, found->end, found->next};
        found->next = after;
    }
    found->end = start;
    if (found->start == found->end) {
        *link = found->next;
        free(found);
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
        span *fresh = malloc(sizeof *fresh);
        *fresh = (span){at, at + size, *link};
        *link = fresh;
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

static int memory_file(const char *name)
{
    return (int)syscall(SYS_memfd_create, name, 1u /* MFD_CLOEXEC */);
}

int gs_heap_file(void)
{
    if (heap_fd < 0)
        heap_fd = sim.slot->heap_fd = memory_file("simgpu-heap");
    return heap_fd;
}

static bool place(gs_chunk *chunk)
{
    char name[64];
    if (!chunk->own_fd) {
        chunk->fd = gs_heap_file();
        chunk->offset = heap_end;
        heap_end += (off_t)chunk->size;
        return chunk->fd >= 0 && ftruncate(heap_fd, heap_end) == 0;
    }
    /* The name tells an importer what it was given. */
    snprintf(name, sizeof name, "simgpu-chunk:%d:%llu", chunk->device, (unsigned long long)chunk->size);
    chunk->fd = memory_file(name);
    return chunk->fd >= 0 && ftruncate(chunk->fd, (off_t)chunk->size) == 0;
}

CUresult gs_chunk_new(int device, uint64_t size, bool own_fd, gs_chunk **chunk)
{
    TRY(gs_charge(device, size, false));
    *chunk = gs_handle_new(KIND_CHUNK, sizeof **chunk);
    **chunk = (gs_chunk){.device = device, .size = size, .refs = 1, .own_fd = own_fd, .fd = -1};
    if (place(*chunk))
        return CUDA_SUCCESS;
    gs_uncharge(device, size, false);
    gs_handle_free(*chunk);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

gs_chunk *gs_chunk_import(int device, uint64_t size, int fd, off_t offset)
{
    gs_chunk *chunk = gs_handle_new(KIND_CHUNK, sizeof *chunk);
    *chunk = (gs_chunk){.device = device, .size = size, .fd = fd, .offset = offset, .refs = 1, .own_fd = true,
                        .imported = true};
    return chunk;
}

void gs_chunk_drop(gs_chunk *chunk)
{
    if (--chunk->refs > 0)
        return;
    if (!chunk->imported)
        gs_uncharge(chunk->device, chunk->size, false);
    if (chunk->own_fd)
        close(chunk->fd);
    else
        fallocate(chunk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, chunk->offset, (off_t)chunk->size);
    gs_handle_free(chunk);
}

bool gs_chunk_map(gs_chunk *chunk, uint64_t offset, CUdeviceptr at, uint64_t size, int protection)
{
    return mmap(gs_bytes(at), size, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, chunk->fd,
                chunk->offset + (off_t)offset) != MAP_FAILED;
}

void gs_arena_unmap(CUdeviceptr at, uint64_t size)
{
    mmap(gs_bytes(at), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
