/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: streams, events and captures as data, for the files that schedule and execute their
 *   work.
 * Owner: cuda/stream creates and destroys them; a context lists its streams.
 * Threads: under sim.lock; an interprocess event's *time is one 64-bit word that other processes
 *   write.
 * Limits: a capture is kept until the process ends, because events may still refer to it.
 *
 * Model
 * 1. stream->tail is when the newest operation that has a place on the timeline ends
 *    (CLOCK_MONOTONIC ns).
 * 2. stream->first is the oldest operation that has no place yet; while it is set, later operations
 *    of the stream queue behind it.
 * 3. The legacy stream (always ctx->streams) and every blocking stream wait for each other, in both
 *    respects.
 * 4. While stream->capture is set, operations become nodes of its graph and stream->frontier is
 *    what the next one depends on.
 */
#ifndef GS_SIM_CUDA_WORK_TYPES_H
#define GS_SIM_CUDA_WORK_TYPES_H

#include "cuda/graph/graph.h"

typedef struct gs_capture {
    CUgraph graph;
    CUstreamCaptureMode mode;
    CUstreamCaptureStatus status; /* NONE once it has ended */
    unsigned long long id;
    CUstream origin;
    pthread_t thread;
    bool borrowed; /* captures into a graph that the program created */
    struct gs_capture *next;
} gs_capture;

struct CUstream_st {
    CUcontext ctx;
    CUstream next;
    unsigned int flags;
    int priority;
    unsigned long long id;
    bool legacy, per_thread;
    pthread_t owner; /* of a per-thread stream */
    uint64_t tail;
    gs_op *first, *last;
    gs_capture *capture;
    gs_frontier frontier;
};

struct CUevent_st {
    CUcontext ctx;
    unsigned int flags;
    /* When the recorded work ends; 0: never recorded. Shared for CU_EVENT_INTERPROCESS. */
    uint64_t *time;
    uint64_t own_time;
    int clock_fd;
    uint64_t queued; /* sequence number of a record that still waits for the worker */
    gs_capture *capture; /* recorded while capturing */
    gs_frontier frontier;
};

#endif
