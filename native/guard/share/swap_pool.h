/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host pool of one user: host memory for swap images. It is a folder (environment variable
 * GPUSHARE_SWAP) with a file `table`, which every process of the user maps, and `data`, a sparse
 * file of units. A unit belongs to one process at a time.
 *
 * A unit is owned by a life (base/life.h) in the file `table`. The daemon frees the units of lives
 * that have ended, under a lock on the first byte of the file: without it, a second reaper could
 * free a unit that has a new owner since.
 *
 * Owner: the daemon writes the header (size, how much is prefaulted) and frees units of dead
 * processes; processes take and free units. The user owns the files, so the daemon reads and writes
 * the table and never maps it.
 * Threads: the daemon's calls from any thread; the guard's from the suspend thread only. No lock:
 * `owner` of a unit is taken by compare-and-swap.
 * Limits: 65536 units. Sizes and offsets are part of the ABI.
 */
#ifndef GS_SWAP_POOL_H
#define GS_SWAP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GS_SWAP_POOL_MAGIC 0x50415753525347ull /* "GSRSWAP" */
#define GS_SWAP_POOL_VERSION 2u

enum { GS_SWAP_POOL_UNITS = 65536 };

struct gs_swap_pool_unit {
    uint64_t owner; /* the life of its process; 0: free */
};

struct gs_swap_pool {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t unit;  /* bytes */
    uint32_t count; /* units that may be taken */
    uint32_t ready; /* units whose pages exist */
    uint32_t given; /* grows whenever a unit is freed */
    uint32_t padding;
    uint64_t returning_ns; /* CLOCK_MONOTONIC: when units were last freed or about to be */
    uint64_t reserved[10];
    struct gs_swap_pool_unit owner[GS_SWAP_POOL_UNITS];
};

struct gpushare_swap_pool_info {
    uint64_t unit, bytes, ready, taken; /* in bytes */
};

/*
 * For the daemon. A negative errno on failure: -EBADMSG for a folder that is not a pool. `create`
 * keeps an existing pool, `prefault` returns the bytes whose pages exist, `reap` the number of
 * units that dead processes left.
 */
int gpushare_swap_pool_create(const char *folder, uint64_t bytes, uint64_t unit);
int gpushare_swap_pool_enable(const char *folder, uint64_t bytes);
int64_t gpushare_swap_pool_prefault(const char *folder, uint64_t bytes, unsigned threads);
int gpushare_swap_pool_reap(const char *folder);
int gpushare_swap_pool_info(const char *folder, struct gpushare_swap_pool_info *info);

/* Opens a file of the pool as gs_shared_file_open() does. */
int gs_swap_pool_open(const char *folder, const char *name, int flags, size_t size);

/* Whether a table, or the beginning of one, is valid. */
bool gs_swap_pool_sound(const struct gs_swap_pool *swap);

/*
 * For the guard: NULL and errno on failure; *data becomes a descriptor of the data file, *life the
 * life of this process in the pool.
 */
struct gs_swap_pool *gs_swap_pool_map(const char *folder, int *data, uint64_t *life);
void gs_swap_pool_unmap(struct gs_swap_pool *swap);

/* The number of free units. */
unsigned gs_swap_pool_free_units(const struct gs_swap_pool *swap);

/* Takes a unit for the process with that life; false when it is not free. */
bool gs_swap_pool_take(struct gs_swap_pool *swap, unsigned unit, uint64_t life);
void gs_swap_pool_give(struct gs_swap_pool *swap, unsigned unit);

#endif
