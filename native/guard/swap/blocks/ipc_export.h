/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPC exports: blocks that other processes may map. The driver does not export memory of this kind
 * by IPC handles, so a handle of the guard is a ticket: it names this process and a file descriptor
 * in it, which holds the list of the descriptors that the driver returned for the chunks.
 * Owner: the block. Threads: any with the lock of the blocks.
 * Limits: an exported block is unmovable; the importer has to be allowed to use pidfd_getfd() on
 * this process.
 */
#ifndef GS_IPC_EXPORT_H
#define GS_IPC_EXPORT_H

#include "swap/blocks/block.h"

#define GS_TICKET_MAGIC 0x544b435449534721ull

struct gs_ticket {
    uint64_t magic;
    int32_t pid, list; /* `list`: descriptor in that process */
    uint64_t start;    /* of the process, clock ticks since boot */
    uint64_t bytes;    /* of the block */
    uint64_t offset;   /* of the allocation in it */
    uint32_t count;    /* chunks */
    uint32_t reserved[5];
};

struct gs_ipc_chunk {
    int32_t fd, reserved;
    uint64_t bytes;
};

/* Exports a block, once; the ticket is for the allocation at an offset. */
CUresult gs_ipc_export_block(struct gs_block *block, uint64_t offset, struct gs_ticket *ticket);

/* Ends the export: the block can no longer be mapped. */
void gs_ipc_unexport(struct gs_block *block);

#endif
