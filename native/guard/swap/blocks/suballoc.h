/* SPDX-License-Identifier: Apache-2.0 */
/* Small allocations, cut from blocks of one page. All of it wants the blocks locked. */
#ifndef GS_SUBALLOC_H
#define GS_SUBALLOC_H

#include "swap/blocks/block.h"

#define GS_SMALL (1ull << 20) /* up to here a request has no pages of its own, as natively */

/* Cuts one from a block that has room for it; 0 when there is none. */
CUdeviceptr gs_suballoc_take(const struct gs_place *place, uint64_t bytes, uint64_t id);

/* Makes a block one that small allocations are cut from; false without memory. */
bool gs_suballocs_begin(struct gs_block *block);

/* The part that an address lies in: its begin and length. False where nothing is allocated. */
bool gs_suballoc_at(const struct gs_block *block, CUdeviceptr address, CUdeviceptr *at,
                    uint64_t *asked);

uint64_t gs_suballoc_id(const struct gs_block *block, CUdeviceptr at);

/* Frees one by its first address. True when the block has none left, and is no longer cut from. */
bool gs_suballoc_give(struct gs_block *block, CUdeviceptr at);

/* The block is about to end. */
void gs_suballocs_end(struct gs_block *block);

void gs_suballocs_forget(void);

#endif
