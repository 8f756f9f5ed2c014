/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's pool of host memory for what leaves the GPU: a folder (environment variable GPUSHARE_SWAP) with a `table`,
 * mapped by every process of the tenant and by the daemon, and `data`, a sparse file in units. A unit belongs to one
 * process at a time; processes of other tenants have pools of their own.
 */
#ifndef GS_SWAP_POOL_H
#define GS_SWAP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define GS_SWAP_MAGIC 0x50415753525347ull /* "GSRSWAP" */
#define GS_SWAP_VERSION 1u

enum { GS_SWAP_UNITS = 65536 };

struct gs_swap_unit {
    uint64_t owner; /* pid, pid namespace in the upper half; 0: free */
    uint64_t start; /* the owner's, clock ticks since boot */
};

struct gs_swap {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t unit;  /* bytes */
    uint32_t count; /* units in use or to be used */
    uint32_t ready; /* of them, prefaulted: their pages exist */
    uint32_t given; /* grows whenever a unit is given back */
    uint32_t padding;
    uint64_t returning_ns; /* CLOCK_MONOTONIC: when somebody last gave units back or was about to */
    uint64_t reserved[10];
    struct gs_swap_unit owner[GS_SWAP_UNITS];
};

struct gpushare_swap_info {
    uint64_t unit, bytes, ready, taken; /* in bytes */
};

/*
 * For the daemon; each returns a negative errno on failure: -EBADMSG for a folder that is no pool. `create` keeps a
 * pool that is there, `prefault` returns the bytes that are ready, `reap` the units that dead processes left.
 */
int gpushare_swap_create(const char *folder, uint64_t bytes, uint64_t unit);
int gpushare_swap_enable(const char *folder, uint64_t bytes);
int64_t gpushare_swap_prefault(const char *folder, uint64_t bytes, unsigned threads);
int gpushare_swap_reap(const char *folder);
int gpushare_swap_info(const char *folder, struct gpushare_swap_info *info);

/* Opens a file of the pool; a negative errno on failure. */
int gs_swap_open(const char *folder, const char *name, int flags);

/* Whether a table, or the beginning of one, can be believed. */
bool gs_swap_sound(const struct gs_swap *swap);

/* For the guard: NULL and errno on failure; *data is a descriptor of the data file. */
struct gs_swap *gs_swap_map(const char *folder, int *data);

/* Gives back what the process took before it executed this program. */
void gs_swap_forget_own(struct gs_swap *swap);

/* Units that nobody has. */
unsigned gs_swap_free(const struct gs_swap *swap);

/* Makes a unit the caller's if it is free. */
bool gs_swap_take(struct gs_swap *swap, unsigned unit);
void gs_swap_give(struct gs_swap *swap, unsigned unit);

#endif
