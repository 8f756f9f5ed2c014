/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/cache.h"

#include <string.h>

#include "share/attach.h"

enum { KINDS = 256 };
#define ALWAYS (1ull << 30) /* cached even if an eighth of the limit is less */

static struct gs_block *kinds[KINDS]; /* newest first; a list holds several sizes */
static struct gs_block *oldest, *newest;

static struct gs_block **kind_of(uint64_t bytes)
{
    return &kinds[bytes / GS_PAGE % KINDS];
}

/* In the slot, so that it goes with the process. A cached block is charged, so there is a slot. */
static void count(int gpu, uint64_t by)
{
    struct gs_region_slot *slot = gs_shared_slot();
    if (slot)
        __atomic_add_fetch(&slot->cached[gpu], by, __ATOMIC_RELAXED);
}

uint64_t gs_cached_here(int gpu)
{
    const struct gs_region_slot *slot = gs_shared_slot();
    return slot ? __atomic_load_n(&slot->cached[gpu], __ATOMIC_RELAXED) : 0;
}

void gs_cache_leave(struct gs_block *block)
{
    struct gs_block **link = kind_of(block->bytes);
    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    *(block->older ? &block->older->newer : &oldest) = block->newer;
    *(block->newer ? &block->newer->older : &newest) = block->older;
    block->older = block->newer = block->next = NULL;
    count(block->gpu, 0 - block->bytes);
}

static bool usable(const struct gs_block *block, const struct gs_place *place, uint64_t bytes)
{
    return block->bytes == bytes && block->gpu == place->gpu && block->device == place->device;
}

struct gs_block *gs_cache_take(const struct gs_place *place, uint64_t bytes)
{
    struct gs_block *block = *kind_of(bytes);
    while (block && !usable(block, place, bytes))
        block = block->next;
    if (!block)
        return NULL;
    gs_cache_leave(block);
    block->context = place->context;
    block->use = GS_HELD;
    return block;
}

static void drop(struct gs_block *block)
{
    gs_cache_leave(block);
    gs_block_end(block);
}

static uint64_t bound(int gpu)
{
    uint64_t limit = __atomic_load_n(&gs_shared_region()->gpu[gpu].limit, __ATOMIC_RELAXED);
    uint64_t most = limit / 8 > ALWAYS ? limit / 8 : ALWAYS;
    return most < limit / 2 ? most : limit / 2;
}

static bool drop_oldest(int gpu)
{
    struct gs_block *block = oldest;
    while (block && block->gpu != gpu)
        block = block->newer;
    if (block)
        drop(block);
    return block != NULL;
}

void gs_cache_put(struct gs_block *block)
{
    int gpu = block->gpu;
    struct gs_block **kind = kind_of(block->bytes);
    block->use = GS_CACHED;
    block->next = *kind;
    *kind = block;
    block->older = newest;
    *(newest ? &newest->newer : &oldest) = block;
    newest = block;
    count(gpu, block->bytes);
    uint64_t most = bound(gpu);
    while (gs_region_cached(gs_shared_region(), gpu) > most && drop_oldest(gpu))
        ;
}

void gs_cache_trim(int gpu)
{
    for (struct gs_block *block = oldest, *after; block; block = after) {
        after = block->newer;
        if (gpu < 0 || block->gpu == gpu)
            drop(block);
    }
}

void gs_cache_forget(void)
{
    memset(kinds, 0, sizeof kinds);
    oldest = newest = NULL;
}
