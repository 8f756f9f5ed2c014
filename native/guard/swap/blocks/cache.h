/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freed blocks, kept with their memory to be used again. They stay charged and are counted as cached. All of it wants
 * the blocks locked.
 */
#ifndef GS_CACHE_H
#define GS_CACHE_H

#include "swap/blocks/block.h"

/* The newest one of exactly that size, or NULL. */
struct gs_block *gs_cache_take(const struct gs_place *place, uint64_t bytes);

/* The oldest go when that makes too many. */
void gs_cache_put(struct gs_block *block);

/* Ends all of a GPU, or of every GPU for -1. */
void gs_cache_trim(int gpu);

/* The block is about to end. */
void gs_cache_leave(struct gs_block *block);

/* Bytes of this process' on a GPU; needs no lock. */
uint64_t gs_cached_here(int gpu);

void gs_cache_forget(void);

#endif
