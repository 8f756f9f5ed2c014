/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: every way a program can allocate device memory, as a table.
 * Owner: the caller keeps `struct hold` and passes it to `give`.
 * Threads: the main thread.
 * Limits: sizes are multiples of PAGE.
 */
#ifndef GS_PROBE_PATHS_H
#define GS_PROBE_PATHS_H

#include "device.h"

enum { PAGE = 2 << 20 }; /* the driver's granularity; every request is a multiple of it */

/* What is needed to free one allocation. */
struct hold {
    CUdeviceptr pointer;
    CUmemGenericAllocationHandle handle;
    CUarray array;
    CUmipmappedArray mipmap;
    CUgraph graph;
    CUgraphExec exec;
};

struct path {
    const char *name;
    bool virtual; /* reserves addresses only: memory comes on first touch and may exceed the GPU */
    CUresult (*take)(const struct device *device, uint64_t bytes, struct hold *hold);
    CUresult (*give)(const struct device *device, struct hold *hold);
    uint64_t (*largest)(const struct device *device); /* one request; NULL: unbounded */
};

extern const struct path paths[];
extern const unsigned path_count;

#endif
