/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPC exports: blocks that other processes may map. The driver does not export memory of this kind
 * by IPC handles, so a handle of the guard is a ticket: it names the socket of this process
 * (swap/blocks/fd_socket.h), which gives out descriptors of the block's chunks, and the export.
 *
 * Model. The first export starts a thread that answers requests. A request names an export; the
 * answer is one message per chunk, in order, with a descriptor that the driver makes for it. No
 * descriptor stays open between requests, so an export costs none, and a program that closes all
 * descriptors keeps its exports.
 *
 * Owner: the block. Threads: any with the lock of the blocks; the server takes it itself.
 * Limits: an exported block is unmovable; the exporter must run to answer; both processes are in
 * one network namespace, as for the driver's own IPC.
 */
#ifndef GS_IPC_EXPORT_H
#define GS_IPC_EXPORT_H

#include "swap/blocks/fd_socket.h"
#include "swap/blocks/block.h"

#define GS_TICKET_MAGIC 0x324b435449534721ull

struct gs_ticket {
    uint64_t magic;
    struct gs_fd_name exporter;
    uint64_t id;     /* of the export, in that process */
    uint64_t bytes;  /* of the block */
    uint64_t offset; /* of the allocation in it */
    uint64_t asked;  /* bytes of the allocation */
    uint32_t count;  /* chunks */
    uint32_t reserved;
};

struct gs_ipc_request {
    uint64_t magic, id;
};

struct gs_ipc_chunk {
    uint64_t bytes;
};

/* Exports a block, once; the ticket is for the allocation of so many bytes at an offset. */
CUresult gs_ipc_export_block(struct gs_block *block, uint64_t offset, uint64_t asked,
                             struct gs_ticket *ticket);

/* Ends the export: the block can no longer be mapped. */
void gs_ipc_unexport(struct gs_block *block);

/* Whether this process made the ticket. */
bool gs_ipc_is_ours(const struct gs_ticket *ticket);

/* In the child of a fork, which answers for none of its parent's exports. */
void gs_ipc_exports_forget(void);

#endif
