/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuMemAlloc and cuMemFree over blocks. Freed memory waits until work that may use it is over, as natively, and is
 * then cached.
 */
#ifndef GS_HEAP_H
#define GS_HEAP_H

#include "driver/place.h"

/* Whether an allocation there can come from here. */
bool gs_heap_serves(const struct gs_place *place);

CUresult gs_heap_alloc(const struct gs_place *place, uint64_t bytes, CUdeviceptr *pointer);

/* False for a pointer that is none of ours. */
bool gs_heap_free(CUdeviceptr pointer, CUresult *result);

/* The allocation that an address lies in. False when it is none of ours. */
struct gs_allocation {
    CUdeviceptr at;
    uint64_t bytes;
    uint64_t id; /* no other allocation of the process ever had it */
    CUcontext context;
    CUdevice device;
};
bool gs_heap_find(CUdeviceptr address, struct gs_allocation *found);

/* Gives what is only cached to the driver: of a GPU, or of all for -1. */
void gs_heap_trim(int gpu);

/* The context is gone, or with NULL all of a GPU's: so are their allocations. */
void gs_heap_ended(int gpu, CUcontext context);

void gs_heap_forget(void);

#endif
