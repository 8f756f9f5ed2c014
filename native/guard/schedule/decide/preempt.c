/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/preempt.h"

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/decide/preempt_step.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/timeslice.h"

#define BUSY_LOCK_NS 100000ull /* the lock was held: next attempt */

static __thread CUstream newest_stream;
static __thread uint64_t newest_period;

static uint32_t bit_of(struct gs_attachment *attachment)
{
    return gs_gpu_page_preempt_bit(attachment->page, attachment->slot_number);
}

static uint64_t launches_of(struct gs_busy_period *period)
{
    return __atomic_load_n(&period->launches, __ATOMIC_SEQ_CST);
}

/* Needs the lock. */
static void track(struct gs_busy_period *period, CUstream stream)
{
    for (int i = 0; i < period->count; i++)
        if (period->streams[i] == stream)
            return;
    if (period->count < GS_TRACKED)
        period->streams[period->count++] = stream;
    else
        period->untracked = true;
}

static void learn_pause(struct gs_busy_period *period, uint64_t now)
{
    gs_pauses_add(&period->pauses, period->idle_at ? now - period->idle_at : 0);
}

/* Needs the lock. */
static void begin(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t now = gs_now();
    learn_pause(period, now);
    GS_WRITE(period->begun_at, now);
    GS_WRITE(period->in_grace, false);
    __atomic_store_n(&attachment->process->beat_ns, now, __ATOMIC_RELAXED);
    __atomic_store_n(&attachment->process->until_ns, UINT64_MAX, __ATOMIC_SEQ_CST);
    gs_gpu_page_close(attachment->page, bit_of(attachment));
    __atomic_store_n(&period->begun, 1, __ATOMIC_SEQ_CST);
    attachment->share->preemptions++;
    gs_timer_thread_wake();
    gs_poll_thread_wake();
    gs_timeslice_high(attachment);
}

/* Needs the lock. */
static void end(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    __atomic_store_n(&period->begun, 0, __ATOMIC_SEQ_CST);
    GS_WRITE(period->in_grace, false);
    __atomic_store_n(&attachment->process->until_ns, 0, __ATOMIC_SEQ_CST);
    gs_gpu_page_open(attachment->page, bit_of(attachment));
    attachment->share->preempt_ns +=
        period->idle_at > period->begun_at ? period->idle_at - period->begun_at : 0;
}

/*
 * Needs the lock. Invariant: a launch counts itself before it looks at `begun`, and here `begun` is
 * cleared before `launches` is read again. So a launch that came meanwhile, into a stream of the
 * period, and found the bit still set is seen here, and the gates close again.
 */
static void end_unless_launched(struct gs_attachment *attachment, uint64_t launches)
{
    end(attachment);
    if (launches_of(&attachment->busy_period) != launches)
        begin(attachment);
}

static void first_of_period(struct gs_attachment *attachment, CUstream stream)
{
    struct gs_busy_period *period = &attachment->busy_period;
    pthread_mutex_lock(&period->lock);
    if (period->in_grace) { /* still closed: no other work came in between */
        learn_pause(period, gs_now());
        GS_WRITE(period->in_grace, false);
    }
    if (!period->begun) {
        period->count = 0;
        period->untracked = false;
        begin(attachment);
    }
    track(period, stream);
    newest_stream = stream;
    newest_period = period->begun_at;
    pthread_mutex_unlock(&period->lock);
}

void gs_preempt_launch(struct gs_attachment *attachment, CUstream stream)
{
    struct gs_busy_period *period = &attachment->busy_period;
    /* Before reading `begun`: the thread that clears the bit reads both in the other order. */
    __atomic_add_fetch(&period->launches, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&period->begun, __ATOMIC_SEQ_CST)
        && !__atomic_load_n(&period->in_grace, __ATOMIC_RELAXED) && newest_stream == stream
        && newest_period == GS_READ(period->begun_at))
        return;
    first_of_period(attachment, stream);
}

static bool all_idle(const struct gs_busy_period *period)
{
    for (int i = 0; i < period->count; i++)
        if (cuda()->cuStreamQuery(period->streams[i]) == CUDA_ERROR_NOT_READY)
            return false;
    return !period->untracked;
}

/* The work has finished: opens the gates now, or when the grace is over. Needs the lock. */
static void work_ended(struct gs_attachment *attachment, uint64_t launches, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t grace = gs_preempt_grace(&period->pauses, attachment->share->policy.grace_us);
    period->idle_at = now;
    attachment->share->grace_ns = grace;
    if (!grace) {
        end_unless_launched(attachment, launches);
        return;
    }
    period->grace_launches = launches;
    period->grace_until = now + grace;
    __atomic_store_n(&period->in_grace, true, __ATOMIC_SEQ_CST);
    gs_timer_thread_hurry();
}

void gs_preempt_synced(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    if (!__atomic_load_n(&period->begun, __ATOMIC_RELAXED) || gs_capturing())
        return;
    pthread_mutex_lock(&period->lock);
    uint64_t launches = launches_of(period);
    if (period->begun && !period->in_grace && all_idle(period))
        work_ended(attachment, launches, gs_now());
    pthread_mutex_unlock(&period->lock);
}

/* Under the lock all of it is consistent; without the lock it shows only whether a round is due. */
static struct gs_preempt_view view_of(struct gs_attachment *attachment)
{
    const struct gs_busy_period *period = &attachment->busy_period;
    return (struct gs_preempt_view){
        .begun = __atomic_load_n(&period->begun, __ATOMIC_RELAXED),
        .in_grace = GS_READ(period->in_grace),
        .begun_at = GS_READ(period->begun_at),
        .active_at = GS_READ(attachment->active_at),
    };
}

/* A launch during the begin of the grace did not end the grace itself. Needs the lock. */
static void end_of_grace(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    GS_WRITE(period->in_grace, false);
    if (launches_of(period) == period->grace_launches)
        end_unless_launched(attachment, period->grace_launches);
}

/* Needs the lock. */
static uint64_t keep_grace(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_preempt_view view = view_of(attachment);
    view.grace_until = attachment->busy_period.grace_until;
    if (gs_preempt_timer_step(&view, now) == GS_PREEMPT_END)
        end_of_grace(attachment);
    view = view_of(attachment);
    view.grace_until = attachment->busy_period.grace_until;
    return gs_preempt_next_timer(&view, now);
}

/* The heartbeat shows that the process is not stopped, not that its driver answers. */
uint64_t gs_preempt_timer_tick(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    struct gs_preempt_view view = view_of(attachment);
    if (!view.begun)
        return gs_preempt_next_poll(&view, now);
    __atomic_store_n(&attachment->process->beat_ns, now, __ATOMIC_RELAXED);
    /* A launch holds the lock for a moment; a synchronisation while it asks the driver. */
    if (pthread_mutex_trylock(&period->lock) != 0)
        return now + BUSY_LOCK_NS;
    uint64_t next = keep_grace(attachment, now);
    pthread_mutex_unlock(&period->lock);
    return next;
}

/*
 * For work without a synchronisation: asks the GPU when nothing was launched since the last round.
 * Needs the lock.
 */
static void look(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    struct gs_preempt_view view = view_of(attachment);
    view.launches = launches_of(period);
    view.seen = period->seen;
    view.blind = gs_capturing() || period->untracked;
    enum gs_preempt_act act = gs_preempt_poll_step(&view, now);
    if (act == GS_PREEMPT_NOTE) {
        period->seen = view.launches;
        GS_WRITE(attachment->active_at, now);
    } else if (act == GS_PREEMPT_END || (act == GS_PREEMPT_ASK && all_idle(period))) {
        work_ended(attachment, view.launches, now);
    }
}

uint64_t gs_preempt_poll_tick(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    struct gs_preempt_view view = view_of(attachment);
    if (view.begun) {
        pthread_mutex_lock(&period->lock);
        look(attachment, now);
        pthread_mutex_unlock(&period->lock);
        view = view_of(attachment);
    }
    return gs_preempt_next_poll(&view, now);
}

void gs_preempt_forget_stream(struct gs_attachment *attachment, CUstream stream)
{
    struct gs_busy_period *period = &attachment->busy_period;
    pthread_mutex_lock(&period->lock);
    for (int i = 0; i < period->count; i++)
        if (period->streams[i] == stream)
            period->streams[i] = period->streams[--period->count];
    pthread_mutex_unlock(&period->lock);
    newest_stream = NULL;
    newest_period = 0;
}

void gs_preempt_forget_streams(struct gs_attachment *attachment)
{
    pthread_mutex_lock(&attachment->busy_period.lock);
    attachment->busy_period.count = 0;
    pthread_mutex_unlock(&attachment->busy_period.lock);
    newest_stream = NULL;
    newest_period = 0;
}
