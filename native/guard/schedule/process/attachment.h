/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: this process on the GPU pages of its GPUs.
 *
 * Owner: the process, one attachment per GPU of the region. When its share moves to another GPU, a
 * new one takes its place and the old one stays for threads that still use it.
 * Threads: any. An attachment is set up under a lock and published by `ready`; after that its
 * addresses do not change. Other fields say which thread writes them.
 * Limits: GS_GPUS attachments; GS_STREAM_LOADS streams with a load of their own.
 */
#ifndef GS_ATTACHMENT_H
#define GS_ATTACHMENT_H

#include <pthread.h>

#include "driver/real.h"
#include "share/gpu_page.h"

enum { GS_STREAM_LOADS = 64, GS_TRACKED = 16, GS_PAUSES = 64 };

/* What was queued in a stream since the last look at the gate, in nanoseconds of GPU time. */
struct gs_stream_load {
    CUstream stream;
    uint64_t load;
};

/*
 * The newest pauses of high-priority work, in ns between idle and the next launch; see
 * preempt_step.h.
 */
struct gs_pauses {
    uint32_t ns[GS_PAUSES];
    uint32_t count; /* of all that ever were; the newest overwrites the oldest */
};

/* The state of one busy period of high-priority work; see preempt.c. */
struct gs_busy_period {
    pthread_mutex_t lock;
    uint64_t launches; /* atomic; grows with every launch */
    uint64_t seen;     /* launches at the poll thread's last look */
    uint32_t begun;    /* atomic: the bit is set in every low share slot's gate */
    bool in_grace;     /* idle, but the bit stays set until grace_until */
    uint64_t grace_until, grace_launches;
    uint64_t begun_at, idle_at;
    CUstream streams[GS_TRACKED];
    int count;
    bool untracked; /* more streams than there is room for: only time tells */
    struct gs_pauses pauses;
};

struct gs_attachment {
    struct gs_gpu_page *page;
    struct gs_share_slot *share;
    struct gs_process_slot *process;
    int slot_number; /* of the process slot on the GPU page */
    CUcontext context;
    CUdeviceptr gate; /* the share slot's gate as the GPU sees it; 0: the host has to wait */
    struct gs_stream_load stream_loads[GS_STREAM_LOADS];
    struct gs_busy_period busy_period;
    CUstream newest_stream; /* the stream of its newest launch under a gate */
    uint32_t timeslice_us;  /* the timeslice that was set, see timeslice.c */
    uint64_t timeslice_at;  /* when that was looked at, ns */
    uint64_t active_at;     /* its newest launch under a gate, ns */
    uint64_t fences;        /* looks at the gate that it put into streams */
    int gpu;                /* in the region */
    uint64_t moves;         /* of the region's GPU: which GPU page this is */
    struct gs_attachment *previous; /* on the GPU pages that the share has moved away from */
    uint32_t ready; /* atomic: all of the above is set up */
};

/*
 * False while the share has a place on no GPU page: launches cost one load. Set when the program
 * starts.
 */
extern bool gs_gate_armed;
void gs_attachments_start(void);

/* For the calling thread's context; NULL without a GPU page. */
struct gs_attachment *gs_attachment_here(void);

/* NULL unless it is set up. */
struct gs_attachment *gs_attachment_of(int gpu);

/*
 * The GPU sees a page by way of a context: what is attached with this one is set up again at the
 * next launch.
 */
void gs_attachments_context_ends(CUcontext context);

/* The process is about to be suspended: the arbiter lets what it has queued end. */
void gs_attachments_drain(bool drains);

void gs_attachments_forget(void);

/* Whether the share's programs take turns with others, should there be any to take. */
static inline bool gs_takes_turns(const struct gs_share_policy *policy)
{
    return policy->rank != GS_HIGH || policy->limit < GS_FULL || policy->request > 0;
}

static inline bool gs_capped(const struct gs_share_policy *policy)
{
    return policy->limit < GS_FULL || policy->request > 0;
}

#endif
