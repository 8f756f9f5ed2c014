/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate in front of every launch, on the thread that launches, so that order, lifetimes and
 * errors stay the driver's own. Work of low rank and of shares that take turns gets fences between
 * its launches: the GPU itself waits at the next one while the share slot's gate is not 0, however
 * much is queued behind.
 *
 * Owner: the hooks of launches, copies and waits; one struct gs_pass per launch, on its stack.
 * Threads: any thread of the program. Takes no lock while nothing changes.
 * Limits: a program without a GPU page passes at the cost of one load (gs_gate_armed).
 */
#ifndef GS_GATE_H
#define GS_GATE_H

#include "schedule/process/attachment.h"

/* One launch, from gs_gate_before() to gs_gate_after(). */
struct gs_pass {
    struct gs_attachment *attachment; /* NULL: not gated */
    CUstream stream;
    uint64_t key; /* the kind of work for the cost model */
    int sample;
};

/*
 * Waits on the host for the share's turn. Before gs_enter(): a thread that waits here does not
 * delay a suspension.
 */
void gs_gate_wait(CUstream stream);

void gs_gate_before(struct gs_pass *pass);
void gs_gate_after(struct gs_pass *pass, CUresult result);

/* Before a copy: one of high rank closes gates, because a launch follows. */
void gs_gate_copies(CUstream stream);

/* Whether large copies are to be split, because there is high-priority work now. */
bool gs_gate_splits(CUstream stream);

/* Around calls that wait for the GPU; `stream`: what they wait for, or NULL. */
struct gs_attachment *gs_gate_sync_begins(const CUstream *stream);
void gs_gate_sync_ended(struct gs_attachment *begun);

/* After a query of work that has not finished. */
void gs_gate_asked(void);

/* Before a context ends, and with it its streams and events. */
void gs_gate_context_ends(CUcontext context);

/* Kinds of work: a kernel with its number of blocks, or a graph. */
static inline uint64_t gs_kind(const void *what, uint64_t blocks)
{
    return ((uint64_t)(uintptr_t)what ^ blocks * 0xff51afd7ed558ccdull) | 1;
}

#endif
