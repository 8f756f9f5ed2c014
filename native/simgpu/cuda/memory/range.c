/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/range.h"

static gs_range **ranges;
static size_t count, capacity;

/* The first range whose base is above `at`. */
static size_t after(CUdeviceptr at)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle]->base <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

gs_range *gs_range_add(const gs_range *range)
{
    size_t i = after(range->base);
    if (count == capacity) {
        capacity = capacity ? capacity * 2 : 64;
        ranges = realloc(ranges, capacity * sizeof *ranges);
    }
    memmove(ranges + i + 1, ranges + i, (count - i) * sizeof *ranges);
    ranges[i] = malloc(sizeof **ranges);
    *ranges[i] = *range;
    ranges[i]->id = ++sim.next_id;
    count++;
    return ranges[i];
}

gs_range *gs_range_find(CUdeviceptr at)
{
    size_t i = after(at);
    if (i == 0)
        return NULL;
    gs_range *range = ranges[i - 1];
    return at - range->base < range->size ? range : NULL;
}

gs_range *gs_range_at(CUdeviceptr base)
{
    gs_range *range = gs_range_find(base);
    return range && range->base == base ? range : NULL;
}

void gs_range_remove(gs_range *range)
{
    size_t i = after(range->base) - 1;
    free(range);
    memmove(ranges + i, ranges + i + 1, (count - i - 1) * sizeof *ranges);
    count--;
}

size_t gs_range_count(void)
{
    return count;
}

gs_range *gs_range_nth(size_t i)
{
    return ranges[i];
}

gs_range *gs_range_import(CUcontext ctx, gs_chunk *chunk, CUdeviceptr base, uint64_t inside,
                          uint64_t length)
{
    gs_range range = {.base = base + inside,
                      .size = length,
                      .kind = RANGE_IPC,
                      .ctx = ctx,
                      .device = chunk->device,
                      .chunk = chunk,
                      .chunk_offset = inside};
    return gs_range_add(&range);
}
