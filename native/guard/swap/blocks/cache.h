/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cached blocks: freed ones that keep their memory for the next allocation of their size. They stay
 * charged and are counted as `cached`.
 * Owner: the heap. Threads: any with the lock of the blocks.
 * Limits: at most an eighth of the share's limit or 1 GiB, the larger, but never more than half of
 * the limit; then the oldest are freed.
 */
#ifndef GS_CACHE_H
#define GS_CACHE_H

#include "swap/blocks/block.h"

/* Takes the newest block of exactly this size out of the cache; NULL without one. */
struct gs_block *gs_cache_take(const struct gs_place *place, uint64_t bytes);

/* Adds a block, and frees the oldest ones beyond the bound. */
void gs_cache_put(struct gs_block *block);

/* Frees all cached blocks of a GPU, or of every GPU for -1. */
void gs_cache_trim(int gpu);

/* Takes a block out of the cache. */
void gs_cache_leave(struct gs_block *block);

/* Bytes that this process caches on a GPU. Needs no lock. */
uint64_t gs_cached_here(int gpu);

/* In the child of a fork. */
void gs_cache_forget(void);

#endif
