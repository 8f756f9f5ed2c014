/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the layout of arrays: plain rows, so that copies move real bytes.
 * Owner: cuda/alloc/array.c creates and destroys arrays.
 * Threads: under sim.lock.
 * Limits: rows are aligned to 512 bytes; the tiled layout of a real GPU is not simulated.
 */
#ifndef GS_SIM_CUDA_ARRAY_H
#define GS_SIM_CUDA_ARRAY_H

#include "cuda/memory/chunk.h"

typedef struct gs_plane {
    CUdeviceptr at;
    size_t pitch, height, depth;
} gs_plane;

struct CUarray_st {
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    gs_plane plane;
    gs_chunk *chunk; /* NULL: a level of a mipmap */
    uint64_t size;
    CUcontext ctx;
};

bool gs_array_valid(const CUDA_ARRAY3D_DESCRIPTOR *descriptor);
uint64_t gs_array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *descriptor);
CUarray gs_array_new(CUcontext ctx, const CUDA_ARRAY3D_DESCRIPTOR *descriptor, gs_chunk *chunk,
                     CUdeviceptr at);
bool gs_array_plane(CUarray array, gs_plane *plane); /* false: not an array */

#endif
