/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This process on the GPU pages of its GPUs.
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

/* GPU time queued in a stream since its last fence, in ns. */
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
    uint64_t seen;     /* launches at the last round of the poll thread */
    uint32_t begun;    /* atomic: the bit is set in every low share slot's gate */
    bool in_grace;     /* idle, but the bit stays set until grace_until */
    uint64_t grace_until, grace_launches;
    uint64_t begun_at, idle_at;
    CUstream streams[GS_TRACKED];
    int count;
    bool untracked; /* more streams than fit: the end is known by time only */
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
    CUstream newest_stream; /* of its newest gated launch */
    uint32_t timeslice_us;  /* the timeslice that was set, see timeslice.c */
    uint64_t timeslice_at;  /* when it was last checked, ns */
    uint64_t active_at;     /* its newest gated launch, ns */
    uint64_t fences;        /* that this process put into streams */
    int gpu;                /* in the region */
    uint64_t moves;         /* of the GPU in the region when it attached */
    struct gs_attachment *previous; /* on the GPU page before a migration */
    uint32_t ready; /* atomic: all of the above is set up */
};

/* False when the share has a place on no GPU page. Set at the start. */
extern bool gs_gate_armed;
void gs_attachments_start(void);

/* For the context of the calling thread; attaches if necessary. NULL without a GPU page. */
struct gs_attachment *gs_attachment_here(void);

/* NULL unless it is attached. */
struct gs_attachment *gs_attachment_of(int gpu);

/* The GPU reads the page through a context: what is attached with this one attaches again. */
void gs_attachments_context_ends(CUcontext context);

/* Before a suspension, so that queued work may run to its end; false: after it. */
void gs_attachments_drain(bool drains);

/* In the child of a fork. */
void gs_attachments_forget(void);

/* Whether the share takes turns when there are turns. */
static inline bool gs_takes_turns(const struct gs_share_policy *policy)
{
    return policy->rank != GS_HIGH || policy->limit < GS_FULL || policy->request > 0;
}

/* Whether the share has a limit or a guarantee, which needs turns. */
static inline bool gs_capped(const struct gs_share_policy *policy)
{
    return policy->limit < GS_FULL || policy->request > 0;
}

#endif
