/* SPDX-License-Identifier: Apache-2.0 */
/* Physical memory of a GPU, mapped at addresses that stay reserved while it is away. */
#ifndef GS_CHUNK_H
#define GS_CHUNK_H

#include "driver/real.h"

#define GS_PAGE (2ull << 20)
#define GS_PIECE (64ull << 20)

struct gs_piece {
    CUmemGenericAllocationHandle handle;
    uint64_t bytes;
    uint64_t image; /* where its copy stands in the process' image in host memory */
    bool here;      /* there is physical memory behind its address */
    bool stored;    /* the image holds what it held when the program was last halted */
};

/* Whether the driver can do it for this device. */
bool gs_pieces_possible(CUdevice device);

CUresult gs_piece_create(struct gs_piece *piece, CUdevice device);

/* Behind [at, at + piece->bytes), not to be used before gs_pieces_open(). */
CUresult gs_piece_map(struct gs_piece *piece, CUdeviceptr at);

/* Lets the device, and those that can reach it, use a range of mapped pieces. */
CUresult gs_pieces_open(CUdeviceptr at, uint64_t bytes, CUdevice device);

/* Gives the physical memory back to the driver. */
CUresult gs_piece_drop(struct gs_piece *piece, CUdeviceptr at);

#endif
