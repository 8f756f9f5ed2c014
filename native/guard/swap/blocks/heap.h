/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuMemAlloc() and cuMemFree() with blocks, in movable shares. The model is in heap.c.
 * Owner: the hooks of hooks/memory. Threads: any; enters and leaves by itself.
 * Limits: linear and pitched memory only; the rest is unmovable (charge/unmovable.h).
 */
#ifndef GS_HEAP_H
#define GS_HEAP_H

#include "driver/place.h"

/* Whether the heap serves allocations there. */
bool gs_heap_serves(const struct gs_place *place);

CUresult gs_heap_alloc(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer);

/* False for a pointer that is not from the heap. */
bool gs_heap_free(CUdeviceptr pointer, CUresult *result);

struct gs_allocation {
    CUdeviceptr at;
    uint64_t bytes;
    uint64_t id; /* unique in the process */
    CUcontext context;
    CUdevice device;
};

/* The allocation that contains an address; false when it is not from the heap. */
bool gs_heap_find(CUdeviceptr address, struct gs_allocation *allocation);

/* Frees what is cached on a GPU, or on all for -1. */
void gs_heap_trim(int gpu);

/* A context has ended, or with NULL all of a GPU: ends their allocations. */
void gs_heap_ended(int gpu, CUcontext context);

/* In the child of a fork. */
void gs_heap_forget(void);

#endif
