/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suballocations: small allocations inside blocks of one page, in grains of 512 bytes.
 * Owner: the heap. Threads: any with the lock of the blocks.
 * Limits: up to 1 MiB each; blocks serve one context and one GPU; first fit, by a bitmap.
 */
#ifndef GS_SUBALLOC_H
#define GS_SUBALLOC_H

#include "swap/blocks/block.h"

#define GS_SMALL (1ull << 20) /* larger requests have pages of their own, as in the driver */

/* Takes room in a block that has some; 0 when none has. */
CUdeviceptr gs_suballoc_take(const struct gs_place *place, uint64_t bytes, uint64_t id);

/* Begins to use a block for suballocations; false without memory. */
bool gs_suballocs_begin(struct gs_block *block);

/* The begin and length of the suballocation that contains an address; false without one. */
bool gs_suballoc_at(const struct gs_block *block, CUdeviceptr address, CUdeviceptr *at,
                    uint64_t *asked);

uint64_t gs_suballoc_id(const struct gs_block *block, CUdeviceptr at);

/* Frees the suballocation at an address. True when it was the last: the block is unused then. */
bool gs_suballoc_give(struct gs_block *block, CUdeviceptr at);

/* Stops using a block for suballocations. */
void gs_suballocs_end(struct gs_block *block);

/* In the child of a fork. */
void gs_suballocs_forget(void);

#endif
