/* SPDX-License-Identifier: Apache-2.0 */
/* This process on the boards of its GPUs. */
#ifndef GS_ATTACHMENT_H
#define GS_ATTACHMENT_H

#include <pthread.h>

#include "driver/real.h"
#include "share/gpu_page.h"

enum { GS_LANES = 64, GS_TRACKED = 16, GS_GAPS = 64 };

/* What was queued in a stream since the last look at the word, in nanoseconds of GPU time. */
struct gs_lane {
    CUstream stream;
    uint64_t load;
};

/* The state of one burst of urgent work; schedule/decide/preempt.c. */
struct gs_burst {
    pthread_mutex_t lock;
    uint64_t launches; /* atomic; grows with every launch */
    uint64_t seen;     /* launches at the keeper's last look */
    uint32_t raised;   /* atomic: the bit is set in every low seat's word */
    bool lingers;      /* idle, but the bit stays set until linger_until */
    uint64_t linger_until, linger_launches;
    uint64_t raised_at, idle_at;
    CUstream streams[GS_TRACKED];
    int count;
    bool untracked; /* more streams than there is room for: only time tells */
    uint32_t gaps[GS_GAPS]; /* ns between idle and the next launch */
    uint32_t gap_count;
};

struct gs_ride {
    struct gs_board *board;
    struct gs_seat *seat;
    struct gs_rider *rider;
    int place; /* of the rider on the board */
    CUcontext context;
    CUdeviceptr word; /* the seat's word as the GPU sees it; 0: the host has to wait in its stead */
    struct gs_lane lanes[GS_LANES];
    struct gs_burst burst;
    CUstream newest;    /* the stream of its newest launch under a gate */
    uint32_t sliced;    /* the time slice that was set, see schedule/timing/timeslice.c */
    uint64_t sliced_at; /* when that was looked at, ns */
    uint64_t active_at; /* its newest launch under a gate, ns */
    uint64_t fences;    /* looks at the word that it put into streams */
    int gpu;            /* in the region */
    uint64_t moves;     /* of the region's GPU: which board this is */
    struct gs_ride *before; /* on the boards that the share has moved away from */
    uint32_t ready;     /* atomic: all of the above is set up */
};

/* False while the share has a place on no board: launches cost one load. Set when the program starts. */
extern bool gs_gate_armed;
void gs_ride_start(void);

/* For the calling thread's context; NULL without a board. */
struct gs_ride *gs_ride_here(void);

/* Those that are set up, for the keeper. */
struct gs_ride *gs_ride_number(int gpu);

/* What the GPU sees of a board it sees by a context: who rides with this one is set up anew at the next launch. */
void gs_rides_context_ends(CUcontext context);

/* The process is about to be suspended: the conductor lets what it has queued end. */
void gs_rides_drain(bool drains);

void gs_rides_forget(void);

/* Whether the share's programs take turns with others, should there be any to take. */
static inline bool gs_takes_turns(const struct gs_seat_policy *policy)
{
    return policy->rank != GS_HIGH || policy->limit < GS_FULL || policy->request > 0;
}

static inline bool gs_capped(const struct gs_seat_policy *policy)
{
    return policy->limit < GS_FULL || policy->request > 0;
}

#endif
