/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between a GPU and host memory, several on their way at once; what follows a copy follows it in order. */
#ifndef GS_COPY_QUEUE_H
#define GS_COPY_QUEUE_H

#include "driver/real.h"

enum { GS_FERRY_DEPTH = 8 };

struct gs_load {
    void *block;
    unsigned first, count; /* pieces */
};

struct gs_ferry {
    CUstream stream;
    CUevent event[GS_FERRY_DEPTH];
    struct gs_load load[GS_FERRY_DEPTH];
    unsigned begun, done; /* loads, counted on */
    CUresult (*arrived)(const struct gs_load *, bool whole);
    CUresult error; /* the first that happened */
};

/* For the current context. `arrived` is run after the copies of each load; whole: they all succeeded. */
CUresult gs_ferry_open(struct gs_ferry *ferry, CUresult (*arrived)(const struct gs_load *, bool whole));

/* Everything queued since the last one was for this load. May wait for older ones. */
void gs_ferry_sent(struct gs_ferry *ferry, const struct gs_load *load);

/* Waits for the oldest one; false when none is on its way. */
bool gs_ferry_wait(struct gs_ferry *ferry);

/* Waits for all. The first error. */
CUresult gs_ferry_close(struct gs_ferry *ferry);

#endif
