/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: physical memory: a part of a memfd, charged to a device.
 * Owner: reference counted; every handle and every mapping holds one reference.
 * Threads: under sim.lock.
 * Limits: an imported chunk is charged to the process that exported it.
 */
#ifndef GS_SIM_CUDA_CHUNK_H
#define GS_SIM_CUDA_CHUNK_H

#include "cuda/core/driver.h"

typedef struct gs_chunk {
    int device; /* -1: host memory */
    uint64_t size;
    int fd;
    off_t offset;
    int refs;    /* handles and mappings */
    int handles; /* cuMemCreate/Retain/Import references not yet released */
    bool own_fd;   /* a file of its own, because it may be exported */
    bool imported; /* charged to its exporter */
    uint64_t residue; /* bytes of old content that it began with */
    CUmemAllocationProp prop;
} gs_chunk;

CUresult gs_chunk_new(int device, uint64_t size, bool own_fd, gs_chunk **chunk);
/* Takes over the descriptor. */
gs_chunk *gs_chunk_import(int device, uint64_t size, int fd, off_t offset);
gs_chunk *gs_chunk_from_fd(int fd); /* an exported chunk; NULL: not one */
void gs_chunk_drop(gs_chunk *chunk);
bool gs_chunk_map(gs_chunk *chunk, uint64_t offset, CUdeviceptr at, uint64_t size, int protection);
/* Maps the whole chunk at new addresses. On failure drops the chunk and returns false. */
bool gs_chunk_place(gs_chunk *chunk, CUdeviceptr *at);
/* Undoes gs_chunk_place() and drops the chunk. */
void gs_chunk_remove(gs_chunk *chunk, CUdeviceptr at);
int gs_chunk_file(void); /* the memfd that holds every chunk without a file of its own; -1: none */

#endif
