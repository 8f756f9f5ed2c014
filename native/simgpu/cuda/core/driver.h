/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what every file of the simulated driver starts from: CUDA's types, the machine image,
 *   and the state of this process.
 * Owner: cuda/core/process.c fills `sim` in cuInit.
 * Threads: `sim` is read and written under sim.lock; sim.ready is also read without it (entry.c).
 * Limits: one driver per process; GS_MAX_DEVICES devices.
 *
 * Model
 * 1. Every entry point starts with ENTER() (entry.h), which takes sim.lock. Entry points that share
 *    work call a static function; one entry point calls another only before its own ENTER().
 * 2. An operation gets its place [start, end) on the GPU's timeline and moves its bytes when it is
 *    submitted. It is complete when CLOCK_MONOTONIC passes `end`. Programs without data races
 *    cannot see the difference.
 * 3. Host callbacks, waits on values, and the work behind them cannot be timed in advance. They
 *    wait in the queue of their stream for the worker thread (work/worker.c).
 * 4. Physical memory is charged before it exists and released after it is gone (core/charge.c);
 *    everything else that other processes see is in the machine image.
 * 5. Rooms include downwards only: core < memory < graph < work < stream < alloc, code < context <
 *    launch.
 */
#ifndef GS_SIM_CUDA_DRIVER_H
#define GS_SIM_CUDA_DRIVER_H

#pragma GCC visibility push(default)
#include "gs_cuda.h"
#pragma GCC visibility pop
#include "machine/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define CHECK(condition, result) \
    do {                         \
        if (!(condition))        \
            return (result);     \
    } while (0)
#define TRY(expression)                \
    do {                               \
        CUresult tried = (expression); \
        if (tried != CUDA_SUCCESS)     \
            return tried;              \
    } while (0)

typedef struct gs_sim {
    pthread_mutex_t lock;
    gs_image *image;
    gs_slot *slot;
    bool ready, forked;
    int visible[GS_MAX_DEVICES]; /* ordinal -> index in the image */
    int count;
    CUcontext primary[GS_MAX_DEVICES];
    unsigned int primary_flags[GS_MAX_DEVICES];
    CUmemoryPool default_pool[GS_MAX_DEVICES], pool[GS_MAX_DEVICES];
    unsigned long long next_id;
    uint64_t sequence;
    int mps_socket; /* open while this process is an MPS client */
} gs_sim;
extern gs_sim sim;

/* Above zero while a _ptsz or _ptds form runs: stream 0 means the per-thread stream. */
extern __thread int gs_per_thread_default;

/* Physical memory comes in granules. */
static inline uint64_t gs_granules(uint64_t size)
{
    return (size + GS_GRANULE - 1) / GS_GRANULE * GS_GRANULE;
}

#endif
