/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks: movable device memory. A block is an address range that stays reserved, backed by chunks
 * of physical memory that leave the GPU and return. All blocks of the process are in one list,
 * ordered by address.
 * Owner: block.c; the heap decides what a block is used for. Threads: any with the lock of the
 * blocks; gs_block_make() takes it itself. While the process is quiesced, the suspend thread reads
 * the list without it.
 * Limits: whole pages of 2 MiB, charged exactly; searched by bisection.
 */
#ifndef GS_BLOCK_H
#define GS_BLOCK_H

#include "driver/place.h"
#include "swap/blocks/chunk.h"

enum gs_use { GS_HELD, GS_FREED, GS_CACHED };

struct gs_suballocs;
struct gs_ipc_export;

struct gs_block {
    CUdeviceptr at;
    uint64_t bytes; /* whole pages, charged exactly */
    uint64_t asked; /* bytes that the program requested */
    uint64_t id;    /* new with every use */
    CUcontext context;
    CUdevice device;
    int gpu;
    enum gs_use use;        /* freed: work on the GPU may still use it */
    struct gs_ipc_export *ipc_export; /* handles of other processes; NULL: none */
    struct gs_suballocs *suballocs; /* small allocations in it; NULL: it is one allocation */
    struct gs_block *older, *newer; /* cached: by age */
    struct gs_block *next; /* cached: of a similar size; with suballocs: of those */
    unsigned count;
    struct gs_chunk chunk[];
};

void gs_blocks_lock(void);
void gs_blocks_unlock(void);

/* Creates a block and adds it to the list; its bytes are charged already. */
CUresult gs_block_make(const struct gs_place *place, uint64_t bytes, struct gs_block **made);

/* Removes a block from the list, frees its memory and uncharges it. */
void gs_block_end(struct gs_block *block);

/* The block that contains an address, or NULL. */
struct gs_block *gs_block_at(CUdeviceptr address);

/* The block at a place of the list; NULL after the last. */
struct gs_block *gs_block_number(size_t place);

/* In the child of a fork, which has no blocks. */
void gs_blocks_forget(void);

#endif
