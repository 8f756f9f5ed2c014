/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory that can be moved: an address range that stays, made of chunks that come and go. Every function but
 * gs_block_make() wants the blocks locked.
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
    uint64_t asked; /* what the program wanted */
    uint64_t id;    /* anew with every use */
    CUcontext context;
    CUdevice device;
    int gpu;
    enum gs_use use;        /* freed: waits until work that may use it is over */
    struct gs_ipc_export *ipc_export; /* to other processes; NULL: to none */
    struct gs_suballocs *suballocs; /* small allocations are cut from it; NULL: it is one */
    struct gs_block *older, *newer; /* among the cached */
    struct gs_block
        *next; /* cached: of the same kind of size; with suballocs: of all that have some */
    unsigned count;
    struct gs_chunk chunk[];
};

void gs_blocks_lock(void);
void gs_blocks_unlock(void);

/* Makes one and puts it into the books; its bytes were claimed. */
CUresult gs_block_make(const struct gs_place *place, uint64_t bytes, struct gs_block **made);

/* Takes it out of the books, gives its memory to the driver and its charge to the share. */
void gs_block_end(struct gs_block *block);

/* The one that an address lies in, or NULL. */
struct gs_block *gs_block_at(CUdeviceptr address);

/* By address; NULL behind the last. */
struct gs_block *gs_block_number(size_t place);

/* In the child of a fork: it has none. */
void gs_blocks_forget(void);

#endif
