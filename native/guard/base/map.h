/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from (space, key) to an entry, with open addressing.
 * Owner: the ledger, and the table of hooks in resolve.c.
 * Threads: the owner locks; the map has no lock.
 * Limits: grows by doubling, never shrinks. Pointers to entries are valid until the next put or
 * remove.
 */
#ifndef GS_MAP_H
#define GS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gs_space {
    GS_NOTHING,
    GS_POINTER, /* key: device address; owner: its context; pool: the memory pool, if from one */
    GS_ARRAY,
    GS_MIPMAP,
    GS_DEVICE_HEAP, /* key: the context whose kernels allocate from it */
    GS_MODULE,
    GS_LIBRARY,
    GS_CONTEXT, /* owner: the same, or NULL when it cannot be made current */
    GS_HANDLE, /* key: VMM handle; owner: its physical allocation; bytes: references */
    GS_MAPPING, /* key: mapped address; owner: the physical allocation, or NULL; bytes: length */
    GS_GRAPH, /* key: executable graph; owner: struct gs_graph_need */
    GS_WRAPPER, /* key: driver entry point; owner: our hook */
};

struct gs_entry {
    uint64_t key;
    uint64_t bytes;
    void *owner;
    void *pool;
    int8_t gpu;
    uint8_t space;
    uint8_t unmovable; /* enum gs_unmovable: why it cannot be moved; 0: it can */
};

struct gs_map {
    struct gs_entry *entries;
    size_t room, count;
};

/* Adds or replaces; false without memory. */
bool gs_map_put(struct gs_map *map, const struct gs_entry *entry);
struct gs_entry *gs_map_find(const struct gs_map *map, enum gs_space space, uint64_t key);
void gs_map_remove(struct gs_map *map, struct gs_entry *entry);

#endif
