/* SPDX-License-Identifier: Apache-2.0 */
/* Physical memory of a GPU, mapped at addresses that stay reserved while it is away. */
#ifndef GS_CHUNK_H
#define GS_CHUNK_H

#include "driver/real.h"

#define GS_PAGE (2ull << 20)
#define GS_CHUNK (64ull << 20)

struct gs_chunk {
    CUmemGenericAllocationHandle handle;
    uint64_t bytes;
    uint64_t image; /* where its copy stands in the process' swap image in host memory */
    bool here;      /* there is physical memory behind its address */
    bool stored;    /* the swap image holds what it held when the program was last quiesced */
};

/* Whether the driver can do it for this device. */
bool gs_chunks_possible(CUdevice device);

CUresult gs_chunk_create(struct gs_chunk *chunk, CUdevice device);

/* Behind [at, at + chunk->bytes), not to be used before gs_chunks_open(). */
CUresult gs_chunk_map(struct gs_chunk *chunk, CUdeviceptr at);

/* Lets the device, and those that can reach it, use a range of mapped chunks. */
CUresult gs_chunks_open(CUdeviceptr at, uint64_t bytes, CUdevice device);

/* Gives the physical memory back to the driver. */
CUresult gs_chunk_drop(struct gs_chunk *chunk, CUdeviceptr at);

#endif
