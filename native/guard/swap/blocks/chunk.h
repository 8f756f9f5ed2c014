/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks: physical memory of a GPU behind a part of a block. A block keeps its addresses while its
 * chunks are away.
 * Owner: the block. Threads: any with the lock of the blocks, or the suspend thread while the
 * process is quiesced.
 * Limits: at most 64 MiB each, so that memory moves in parts. Only drivers and devices with VMM.
 */
#ifndef GS_CHUNK_H
#define GS_CHUNK_H

#include "driver/real.h"

#define GS_PAGE (2ull << 20)
#define GS_CHUNK (64ull << 20)

struct gs_chunk {
    CUmemGenericAllocationHandle handle;
    uint64_t bytes;
    uint64_t image; /* position of its copy in the swap image */
    bool here;      /* it has physical memory */
    bool stored;    /* the swap image has its content as of the last quiescing */
};

/* Whether the driver supports chunks on this device. */
bool gs_chunks_possible(CUdevice device);

/* Allocates physical memory. */
CUresult gs_chunk_create(struct gs_chunk *chunk, CUdevice device);

/* Maps a chunk at `at`; usable after gs_chunks_open(). Frees it on failure. */
CUresult gs_chunk_map(struct gs_chunk *chunk, CUdeviceptr at);

/* Gives the device, and its peers in the share, access to a range of mapped chunks. */
CUresult gs_chunks_open(CUdeviceptr at, uint64_t bytes, CUdevice device);

/* Unmaps and frees the physical memory, if there is any. */
CUresult gs_chunk_drop(struct gs_chunk *chunk, CUdeviceptr at);

#endif
