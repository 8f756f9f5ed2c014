/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/suballoc.h"

#include <stdlib.h>

enum { GRAIN = 512, GRAINS = (2 << 20) / GRAIN };

struct gs_suballocs {
    unsigned free; /* grains */
    uint64_t used[GRAINS / 64];
    uint32_t asked[GRAINS]; /* at the first grain: bytes of the suballocation; else 0 */
    uint64_t id[GRAINS];
};

static struct gs_block *first;

static unsigned grains_of(uint64_t bytes)
{
    return (unsigned)((bytes + GRAIN - 1) / GRAIN);
}

static bool is_used(const struct gs_suballocs *suballocs, unsigned grain)
{
    return suballocs->used[grain / 64] >> grain % 64 & 1;
}

static void mark(struct gs_suballocs *suballocs, unsigned from, unsigned grains)
{
    for (unsigned i = from; i < from + grains; i++)
        suballocs->used[i / 64] ^= 1ull << i % 64;
}

/* The first run of enough free grains; GRAINS when there is none. */
static unsigned find(const struct gs_suballocs *suballocs, unsigned grains)
{
    unsigned run = 0;
    for (unsigned i = 0; i < GRAINS; i++) {
        if (i % 64 == 0 && suballocs->used[i / 64] == UINT64_MAX) {
            run = 0;
            i += 63;
            continue;
        }
        run = is_used(suballocs, i) ? 0 : run + 1;
        if (run == grains)
            return i + 1 - grains;
    }
    return GRAINS;
}

static bool fits(const struct gs_block *block, const struct gs_place *place, unsigned grains)
{
    return block->gpu == place->gpu && block->context == place->context
           && block->suballocs->free >= grains;
}

CUdeviceptr gs_suballoc_take(const struct gs_place *place, uint64_t bytes, uint64_t id)
{
    unsigned grains = grains_of(bytes);
    for (struct gs_block *block = first; block; block = block->next) {
        unsigned at = fits(block, place, grains) ? find(block->suballocs, grains) : GRAINS;
        if (at == GRAINS)
            continue;
        mark(block->suballocs, at, grains);
        block->suballocs->free -= grains;
        block->suballocs->asked[at] = (uint32_t)bytes;
        block->suballocs->id[at] = id;
        return block->at + (uint64_t)at * GRAIN;
    }
    return 0;
}

bool gs_suballocs_begin(struct gs_block *block)
{
    block->suballocs = calloc(1, sizeof *block->suballocs);
    if (!block->suballocs)
        return false;
    block->suballocs->free = GRAINS;
    block->next = first;
    first = block;
    return true;
}

bool gs_suballoc_at(const struct gs_block *block, CUdeviceptr address, CUdeviceptr *at,
                    uint64_t *asked)
{
    unsigned grain = (unsigned)((address - block->at) / GRAIN);
    if (!is_used(block->suballocs, grain))
        return false;
    while (!block->suballocs->asked[grain])
        grain--;
    *at = block->at + (uint64_t)grain * GRAIN;
    *asked = block->suballocs->asked[grain];
    return true;
}

void gs_suballocs_end(struct gs_block *block)
{
    struct gs_block **link = &first;
    while (*link && *link != block)
        link = &(*link)->next;
    if (*link)
        *link = block->next;
    block->next = NULL;
    free(block->suballocs);
    block->suballocs = NULL;
}

uint64_t gs_suballoc_id(const struct gs_block *block, CUdeviceptr at)
{
    return block->suballocs->id[(at - block->at) / GRAIN];
}

bool gs_suballoc_give(struct gs_block *block, CUdeviceptr at)
{
    struct gs_suballocs *suballocs = block->suballocs;
    unsigned grain = (unsigned)((at - block->at) / GRAIN),
             grains = grains_of(suballocs->asked[grain]);
    mark(suballocs, grain, grains);
    suballocs->asked[grain] = 0;
    suballocs->free += grains;
    if (suballocs->free < GRAINS)
        return false;
    gs_suballocs_end(block);
    return true;
}

void gs_suballocs_forget(void)
{
    first = NULL;
}
