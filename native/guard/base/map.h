/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from (space, key) to an entry. Not locked. */
#ifndef GS_MAP_H
#define GS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gs_space {
    GS_NOTHING,
    GS_POINTER, /* key: device address; owner: its context; pool: where it came from, if from one */
    GS_ARRAY,
    GS_MIPMAP,
    GS_DEVICE_HEAP, /* key: the context whose kernels allocate from it */
    GS_CONTEXT,
    GS_HANDLE, /* key: VMM handle; owner: its physical allocation; bytes: references */
    GS_MAPPING, /* key: mapped address; owner: what is mapped there, or NULL; bytes: length */
    GS_GRAPH, /* key: executable graph; owner: its memory */
    GS_WRAPPER, /* key: driver entry point; owner: our wrapper */
};

struct gs_entry {
    uint64_t key;
    uint64_t bytes;
    void *owner;
    void *pool;
    int8_t gpu;
    uint8_t space;
    uint8_t unmovable; /* enum gs_unmovable: why it cannot be moved, 0 for what does not matter */
};

struct gs_map {
    struct gs_entry *entries;
    size_t room, count;
};

/* False when there is no memory for it. */
bool gs_map_put(struct gs_map *map, const struct gs_entry *entry);
struct gs_entry *gs_map_find(const struct gs_map *map, enum gs_space space, uint64_t key);
void gs_map_remove(struct gs_map *map, struct gs_entry *entry);

#endif
