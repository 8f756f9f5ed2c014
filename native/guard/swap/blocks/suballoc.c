/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/suballoc.h"

#include <stdlib.h>

enum { GRAIN = 512, GRAINS = (2 << 20) / GRAIN };

struct gs_parts {
    unsigned free; /* grains */
    uint64_t used[GRAINS / 64];
    uint32_t asked[GRAINS]; /* where a part begins: its bytes */
    uint64_t id[GRAINS];
};

static struct gs_block *first;

static unsigned grains_of(uint64_t bytes)
{
    return (unsigned)((bytes + GRAIN - 1) / GRAIN);
}

static bool is_used(const struct gs_parts *parts, unsigned grain)
{
    return parts->used[grain / 64] >> grain % 64 & 1;
}

static void mark(struct gs_parts *parts, unsigned from, unsigned grains)
{
    for (unsigned i = from; i < from + grains; i++)
        parts->used[i / 64] ^= 1ull << i % 64;
}

/* The first run of free grains that is long enough; GRAINS when there is none. */
static unsigned find(const struct gs_parts *parts, unsigned grains)
{
    unsigned run = 0;
    for (unsigned i = 0; i < GRAINS; i++) {
        if (i % 64 == 0 && parts->used[i / 64] == UINT64_MAX) {
            run = 0;
            i += 63;
            continue;
        }
        run = is_used(parts, i) ? 0 : run + 1;
        if (run == grains)
            return i + 1 - grains;
    }
    return GRAINS;
}

static bool fits(const struct gs_block *block, const struct gs_place *place, unsigned grains)
{
    return block->gpu == place->gpu && block->context == place->context && block->parts->free >= grains;
}

CUdeviceptr gs_part_take(const struct gs_place *place, uint64_t bytes, uint64_t id)
{
    unsigned grains = grains_of(bytes);
    for (struct gs_block *block = first; block; block = block->next) {
        unsigned at = fits(block, place, grains) ? find(block->parts, grains) : GRAINS;
        if (at == GRAINS)
            continue;
        mark(block->parts, at, grains);
        block->parts->free -= grains;
        block->parts->asked[at] = (uint32_t)bytes;
        block->parts->id[at] = id;
        return block->at + (uint64_t)at * GRAIN;
    }
    return 0;
}

bool gs_parts_begin(struct gs_block *block)
{
    block->parts = calloc(1, sizeof *block->parts);
    if (!block->parts)
        return false;
    block->parts->free = GRAINS;
    block->next = first;
    first = block;
    return true;
}

bool gs_part_at(const struct gs_block *block, CUdeviceptr address, CUdeviceptr *at, uint64_t *asked)
{
    unsigned grain = (unsigned)((address - block->at) / GRAIN);
    if (!is_used(block->parts, grain))
        return false;
    while (!block->parts->asked[grain])
        grain--;
    *at = block->at + (uint64_t)grain * GRAIN;
    *asked = block->parts->asked[grain];
    return true;
}

void gs_parts_leave(struct gs_block *block)
{
    struct gs_block **link = &first;
    while (*link && *link != block)
        link = &(*link)->next;
    if (*link)
        *link = block->next;
    block->next = NULL;
    free(block->parts);
    block->parts = NULL;
}

uint64_t gs_part_id(const struct gs_block *block, CUdeviceptr at)
{
    return block->parts->id[(at - block->at) / GRAIN];
}

bool gs_part_give(struct gs_block *block, CUdeviceptr at)
{
    struct gs_parts *parts = block->parts;
    unsigned grain = (unsigned)((at - block->at) / GRAIN), grains = grains_of(parts->asked[grain]);
    mark(parts, grain, grains);
    parts->asked[grain] = 0;
    parts->free += grains;
    if (parts->free < GRAINS)
        return false;
    gs_parts_leave(block);
    return true;
}

void gs_parts_forget(void)
{
    first = NULL;
}
