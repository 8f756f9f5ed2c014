/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between a GPU and host memory, several on their way at once; what follows a copy follows it in order. */
#ifndef GS_COPY_QUEUE_H
#define GS_COPY_QUEUE_H

#include "driver/real.h"

enum { GS_COPY_QUEUE_DEPTH = 8 };

struct gs_copy_batch {
    void *block;
    unsigned first, count; /* chunks */
};

struct gs_copy_queue {
    CUstream stream;
    CUevent event[GS_COPY_QUEUE_DEPTH];
    struct gs_copy_batch batch[GS_COPY_QUEUE_DEPTH];
    unsigned begun, done; /* loads, counted on */
    CUresult (*arrived)(const struct gs_copy_batch *, bool whole);
    CUresult error; /* the first that happened */
};

/* For the current context. `arrived` is run after the copies of each load; whole: they all succeeded. */
CUresult gs_copy_queue_open(struct gs_copy_queue *queue,
                            CUresult (*arrived)(const struct gs_copy_batch *, bool whole));

/* Everything queued since the last one was for this load. May wait for older ones. */
void gs_copy_queue_sent(struct gs_copy_queue *queue, const struct gs_copy_batch *batch);

/* Waits for the oldest one; false when none is on its way. */
bool gs_copy_queue_wait(struct gs_copy_queue *queue);

/* Waits for all. The first error. */
CUresult gs_copy_queue_close(struct gs_copy_queue *queue);

#endif
