/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate in front of launches.
 *
 * Model. Work is gated when it has low rank and there is high-priority work on the GPU, or when
 * shares take turns. A gated launch first waits on the host for its turn. Then, when the quantum of
 * GPU time since the last fence of its stream is used up, a fence goes in front of it: a wait of
 * the stream for the gate to be 0. The GPU stops at the next fence when the gate is closed, however
 * much is queued behind it. Work of high rank closes gates instead.
 *
 * Invariants:
 * 1. Nothing is put into a stream that is being captured.
 * 2. A launch under turns announces its wish before it waits, so the arbiter can give a turn.
 * 3. `busy` of the process slot counts threads in a launch, a wait or a synchronisation: while it
 *    is not 0, the process wants the GPU.
 * 4. Where the GPU cannot read the gate, the host waits in its place.
 * 5. While nothing changes, a launch takes no lock of the guard.
 */
#include "schedule/gate.h"

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/decide/preempt.h"
#include "schedule/fence_step.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/cost_model.h"
#include "schedule/timing/timeslice.h"
#include "share/region.h"

#define US 1000ull
#define TURN_QUANTUM_NS (500 * US) /* between fences, for turns alone */
#define LONG_NS (200 * US)         /* a launch this long may run past the end of a turn */
#define WAIT_NS (50000 * US)

static struct gs_stream_load *stream_load_of(struct gs_attachment *attachment, CUstream stream)
{
    size_t at = (size_t)(((uintptr_t)stream * 0x9e3779b97f4a7c15ull) >> 58);
    struct gs_stream_load *stream_load = &attachment->stream_loads[at % GS_STREAM_LOADS];
    /* A load of another stream is replaced by the largest: an extra fence does no harm. */
    if (GS_READ(stream_load->stream) != stream) {
        GS_WRITE(stream_load->stream, stream);
        GS_WRITE(stream_load->load, UINT64_MAX / 2);
    }
    return stream_load;
}

static bool others_preempt(const struct gs_attachment *attachment)
{
    return attachment->share->policy.rank == GS_LOW
           && __atomic_load_n(&attachment->page->preempt_bits, __ATOMIC_RELAXED);
}

static bool in_turns(const struct gs_attachment *attachment)
{
    const struct gs_share_policy *policy = &attachment->share->policy;
    return gs_takes_turns(policy)
           && (gs_capped(policy) || __atomic_load_n(&attachment->page->turns, __ATOMIC_RELAXED));
}

static uint64_t quantum(const struct gs_attachment *attachment)
{
    return others_preempt(attachment) ? attachment->share->policy.quantum_us * US : TURN_QUANTUM_NS;
}

/* Invariant 2. */
static void wish(struct gs_attachment *attachment)
{
    uint64_t now = gs_now();
    GS_WRITE(attachment->active_at, now);
    __atomic_store_n(&attachment->process->want_ns, now, __ATOMIC_SEQ_CST);
    gs_timer_thread_wake();
}

static uint32_t waits_for(const struct gs_attachment *attachment)
{
    return GS_CLOSED_TURN | (GS_READ(attachment->gate) ? 0 : GS_CLOSED_PREEMPT);
}

static void wait_until_open(struct gs_attachment *attachment, uint32_t bits)
{
    uint64_t begun = gs_now();
    __atomic_add_fetch(&attachment->process->busy, 1, __ATOMIC_SEQ_CST);
    gs_timer_thread_wake();
    while (__atomic_load_n(&attachment->share->gate, __ATOMIC_SEQ_CST) & bits)
        gs_share_slot_wait(attachment->share, bits, WAIT_NS);
    __atomic_sub_fetch(&attachment->process->busy, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&attachment->share->waits, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&attachment->share->waited_ns, gs_now() - begun, __ATOMIC_RELAXED);
}

void gs_gate_wait(CUstream stream)
{
    struct gs_attachment *attachment = gs_is_captured(stream) ? NULL : gs_attachment_here();
    if (!attachment
        || !(in_turns(attachment) || (!GS_READ(attachment->gate) && others_preempt(attachment))))
        return;
    wish(attachment);
    uint32_t bits = waits_for(attachment);
    if (__atomic_load_n(&attachment->share->gate, __ATOMIC_SEQ_CST) & bits)
        wait_until_open(attachment, bits);
}

static void put_fence(struct gs_attachment *attachment, CUstream stream)
{
    if (in_turns(attachment))
        gs_completions_record(attachment, attachment->gpu, stream);
    if (others_preempt(attachment))
        gs_timeslice_low(attachment);
    CUresult result = cuda()->cuStreamWaitValue32_v2(stream, GS_READ(attachment->gate), 0,
                                                     CU_STREAM_WAIT_VALUE_EQ);
    if (result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_INVALID_VALUE)
        GS_WRITE(attachment->gate, 0); /* not supported here: from now on the host waits */
    __atomic_add_fetch(&attachment->fences, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&attachment->share->fences, 1, __ATOMIC_RELAXED);
    gs_timer_thread_wake();
}

static void fence(struct gs_attachment *attachment, struct gs_pass *pass)
{
    uint64_t known = gs_cost_model_estimate(pass->key);
    struct gs_stream_load *stream_load = stream_load_of(attachment, pass->stream);
    struct gs_fence_decision decision =
        gs_fence_step(__atomic_load_n(&stream_load->load, __ATOMIC_RELAXED), known,
                      quantum(attachment), GS_READ(attachment->gate));
    if (decision.fence)
        put_fence(attachment, pass->stream);
    __atomic_store_n(&stream_load->load, decision.load, __ATOMIC_RELAXED);
    GS_WRITE(attachment->newest_stream, pass->stream);
    __atomic_add_fetch(&attachment->share->busy_ns, known, __ATOMIC_RELAXED);
    pass->sample = gs_cost_model_begin(pass->key, pass->stream);
    /* A launch that waits for room in the queue counts as a wish. */
    __atomic_add_fetch(&attachment->process->busy, 1, __ATOMIC_SEQ_CST);
}

/* Also for ungated launches: shows whether a share is idle, and how fast it works. */
static void count(struct gs_attachment *attachment)
{
    __atomic_add_fetch(&attachment->share->launches, 1, __ATOMIC_RELAXED);
}

void gs_gate_before(struct gs_pass *pass)
{
    struct gs_attachment *attachment = gs_is_captured(pass->stream) ? NULL : gs_attachment_here();
    pass->sample = -1;
    if (!attachment)
        return;
    count(attachment);
    if (attachment->share->policy.rank == GS_HIGH)
        gs_preempt_launch(attachment, pass->stream);
    else if (!others_preempt(attachment))
        (in_turns(attachment) ? gs_timeslice_in_turns : gs_timeslice_default)(attachment);
    if (!others_preempt(attachment) && !in_turns(attachment))
        return;
    pass->attachment = attachment;
    fence(attachment, pass);
}

void gs_gate_after(struct gs_pass *pass, CUresult result)
{
    if (!pass->attachment)
        return;
    __atomic_sub_fetch(&pass->attachment->process->busy, 1, __ATOMIC_SEQ_CST);
    gs_cost_model_end(pass->sample, pass->stream, result == CUDA_SUCCESS, pass->attachment);
    if (in_turns(pass->attachment) && gs_cost_model_estimate(pass->key) > LONG_NS)
        gs_completions_record(pass->attachment, pass->attachment->gpu, pass->stream);
}

void gs_gate_copies(CUstream stream)
{
    struct gs_attachment *attachment = gs_is_captured(stream) ? NULL : gs_attachment_here();
    if (!attachment)
        return;
    count(attachment);
    if (attachment->share->policy.rank == GS_HIGH)
        gs_preempt_launch(attachment, stream);
}

bool gs_gate_splits(CUstream stream)
{
    struct gs_attachment *attachment = gs_is_captured(stream) ? NULL : gs_attachment_here();
    return attachment && others_preempt(attachment);
}

/* Only for work that still runs: for finished work a completion would show a later time. */
static void record_running(struct gs_attachment *attachment, CUstream stream)
{
    if (!gs_capturing() && cuda()->cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
        gs_completions_record(attachment, attachment->gpu, stream);
}

struct gs_attachment *gs_gate_sync_begins(const CUstream *stream)
{
    struct gs_attachment *attachment = gs_attachment_here();
    if (!attachment || !gs_takes_turns(&attachment->share->policy))
        return NULL;
    /* Also without turns: they may begin before the wait ends. */
    __atomic_add_fetch(&attachment->process->busy, 1, __ATOMIC_SEQ_CST);
    if (in_turns(attachment)) {
        wish(attachment);
        record_running(attachment, stream ? *stream : GS_READ(attachment->newest_stream));
    }
    return attachment;
}

void gs_gate_asked(void)
{
    struct gs_attachment *attachment = gs_attachment_here();
    if (attachment && in_turns(attachment))
        wish(attachment);
}

void gs_gate_sync_ended(struct gs_attachment *begun)
{
    struct gs_attachment *attachment = begun ? begun : gs_attachment_here();
    if (begun)
        __atomic_sub_fetch(&begun->process->busy, 1, __ATOMIC_SEQ_CST);
    if (attachment && attachment->share->policy.rank == GS_HIGH)
        gs_preempt_synced(attachment);
}

void gs_gate_context_ends(CUcontext context)
{
    gs_cost_model_forget_context(context);
    gs_completions_forget_context(context);
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_attachment *attachment = gs_attachment_of(gpu);
        if (attachment)
            gs_preempt_forget_streams(attachment);
    }
    gs_attachments_context_ends(context);
}
