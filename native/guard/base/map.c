/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>

enum { FIRST_ROOM = 256 };

static size_t home(const struct gs_map *map, uint64_t space, uint64_t key)
{
    uint64_t hash = (key ^ (space << 56)) * 0x9e3779b97f4a7c15ull;
    return (size_t)(hash >> 20) & (map->room - 1);
}

/* The entry with this key, or the empty entry where it would be stored. */
static struct gs_entry *position(const struct gs_map *map, uint64_t space, uint64_t key)
{
    size_t at = home(map, space, key);
    while (map->entries[at].space != GS_NOTHING
           && (map->entries[at].key != key || map->entries[at].space != space))
        at = (at + 1) & (map->room - 1);
    return &map->entries[at];
}

static bool grow(struct gs_map *map)
{
    struct gs_map larger = {.room = map->room ? map->room * 2 : FIRST_ROOM, .count = map->count};
    larger.entries = calloc(larger.room, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t i = 0; i < map->room; i++) {
        const struct gs_entry *entry = &map->entries[i];
        if (entry->space != GS_NOTHING)
            *position(&larger, entry->space, entry->key) = *entry;
    }
    free(map->entries);
    *map = larger;
    return true;
}

bool gs_map_put(struct gs_map *map, const struct gs_entry *entry)
{
    if (map->count * 2 >= map->room && !grow(map))
        return false;
    struct gs_entry *place = position(map, entry->space, entry->key);
    map->count += place->space == GS_NOTHING;
    *place = *entry;
    return true;
}

struct gs_entry *gs_map_find(const struct gs_map *map, enum gs_space space, uint64_t key)
{
    if (!map->room)
        return NULL;
    struct gs_entry *place = position(map, space, key);
    return place->space == GS_NOTHING ? NULL : place;
}

void gs_map_remove(struct gs_map *map, struct gs_entry *entry)
{
    /* Moves later entries of the run back instead of leaving a tombstone. */
    size_t mask = map->room - 1, hole = (size_t)(entry - map->entries);
    for (size_t at = (hole + 1) & mask; map->entries[at].space != GS_NOTHING;
         at = (at + 1) & mask) {
        size_t ideal = home(map, map->entries[at].space, map->entries[at].key);
        if (((at - ideal) & mask) >= ((at - hole) & mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole] = (struct gs_entry){0};
    map->count--;
}
