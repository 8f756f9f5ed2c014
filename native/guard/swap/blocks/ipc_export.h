/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that other processes may map. The driver exports no such memory by its IPC handles, so ours name this process
 * and a descriptor in it: of a list of the descriptors that the driver gave for each chunk.
 */
#ifndef GS_IPC_EXPORT_H
#define GS_IPC_EXPORT_H

#include "swap/blocks/block.h"

#define GS_TICKET_MAGIC 0x544b435449534721ull

struct gs_ticket {
    uint64_t magic;
    int32_t pid, list; /* descriptor in that process */
    uint64_t start;    /* the process', clock ticks since boot */
    uint64_t bytes;    /* of the block */
    uint64_t offset;   /* of the allocation in it */
    uint32_t count;    /* chunks */
    uint32_t reserved[5];
};

struct gs_ipc_chunk {
    int32_t fd, reserved;
    uint64_t bytes;
};

/* For the allocation that begins at an offset. Wants the blocks locked. */
CUresult gs_ipc_export_block(struct gs_block *block, uint64_t offset, struct gs_ticket *ticket);

/* The block ends: nobody can map it any more. */
void gs_ipc_unexport(struct gs_block *block);

#endif
