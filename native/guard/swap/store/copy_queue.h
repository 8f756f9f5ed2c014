/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy queue: copies between a GPU and host memory, several at once on one stream. What has to
 * happen after a batch, `arrived`, runs in the order of the batches.
 * Owner: a transfer. Threads: the suspend thread only. Limits: 8 batches; sending a ninth waits for
 * the oldest.
 */
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
    unsigned begun, done; /* batches so far */
    CUresult (*arrived)(const struct gs_copy_batch *, bool whole);
    CUresult error; /* the first one */
};

/* For the current context. `arrived` runs after each batch; whole: all its copies succeeded. */
CUresult gs_copy_queue_open(struct gs_copy_queue *queue,
                            CUresult (*arrived)(const struct gs_copy_batch *, bool whole));

/* Ends a batch: all copies since the last one. May wait for older batches. */
void gs_copy_queue_sent(struct gs_copy_queue *queue, const struct gs_copy_batch *batch);

/* Waits for the oldest batch; false when there is none. */
bool gs_copy_queue_wait(struct gs_copy_queue *queue);

/* Waits for all batches, frees the queue, and returns the first error. */
CUresult gs_copy_queue_close(struct gs_copy_queue *queue);

#endif
