/* SPDX-License-Identifier: Apache-2.0 */
#include "share/swap_pool.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/life.h"
#include "base/shared_file.h"

bool gs_swap_pool_sound(const struct gs_swap_pool *swap)
{
    return swap->magic == GS_SWAP_POOL_MAGIC && swap->version == GS_SWAP_POOL_VERSION
           && swap->header_size == offsetof(struct gs_swap_pool, owner) && swap->unit
           && swap->unit % 4096 == 0 && swap->count <= GS_SWAP_POOL_UNITS;
}

static bool path_of(char path[4096], const char *folder, const char *name)
{
    return snprintf(path, 4096, "%s/%s", folder, name) < 4096;
}

int gs_swap_pool_open(const char *folder, const char *name, int flags, size_t size)
{
    char path[4096];
    return path_of(path, folder, name) ? gs_shared_file_open(path, flags, size) : -ENAMETOOLONG;
}

static struct gs_swap_pool *map_table(const char *folder)
{
    char path[4096];
    errno = ENAMETOOLONG;
    struct gs_swap_pool *swap =
        path_of(path, folder, "table") ? gs_shared_file_map(path, sizeof *swap) : NULL;
    if (!swap || gs_swap_pool_sound(swap))
        return swap;
    gs_swap_pool_unmap(swap);
    errno = EBADMSG;
    return NULL;
}

struct gs_swap_pool *gs_swap_pool_map(const char *folder, int *data, uint64_t *life)
{
    struct gs_swap_pool *swap = map_table(folder);
    if (!swap)
        return NULL;
    *life = gs_life_begin(swap);
    *data = *life ? gs_swap_pool_open(folder, "data", 0, 0) : -ENOLCK;
    if (*data >= 0)
        return swap;
    gs_swap_pool_unmap(swap);
    errno = -*data;
    return NULL;
}

void gs_swap_pool_unmap(struct gs_swap_pool *swap)
{
    gs_shared_file_unmap(swap, sizeof *swap);
}

unsigned gs_swap_pool_free_units(const struct gs_swap_pool *swap)
{
    unsigned count = __atomic_load_n(&swap->count, __ATOMIC_RELAXED), free = 0;
    for (unsigned i = 0; i < count && count <= GS_SWAP_POOL_UNITS; i++)
        free += __atomic_load_n(&swap->owner[i].owner, __ATOMIC_RELAXED) == 0;
    return free;
}

bool gs_swap_pool_take(struct gs_swap_pool *swap, unsigned unit, uint64_t life)
{
    uint64_t none = 0, *owner = &swap->owner[unit].owner;
    return !__atomic_load_n(owner, __ATOMIC_RELAXED)
           && __atomic_compare_exchange_n(owner, &none, life, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST);
}

void gs_swap_pool_give(struct gs_swap_pool *swap, unsigned unit)
{
    __atomic_store_n(&swap->owner[unit].owner, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&swap->returning_ns, gs_now(), __ATOMIC_RELAXED);
    __atomic_add_fetch(&swap->given, 1, __ATOMIC_SEQ_CST);
}
