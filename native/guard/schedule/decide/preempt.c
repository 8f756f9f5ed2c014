/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/decide/preempt.h"

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/timeslice.h"

#define US 1000ull
#define LOOK_NS (1000 * US)
#define DROWSY_NS (50000 * US)
#define BLIND_NS (20000 * US)   /* nothing was launched for so long and nobody may ask the GPU: it is done */
#define SWITCH_NS (150 * US)    /* what it costs high-priority work to find others on the GPU, see learned_grace() */
#define GRACE_LIMIT_NS (300 * US)

static __thread CUstream newest_stream;
static __thread uint64_t newest_period;

static uint32_t bit_of(struct gs_attachment *attachment)
{
    return gs_gpu_page_preempt_bit(attachment->page, attachment->slot_number);
}

/* Wants the lock. */
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

static void learn_gap(struct gs_busy_period *period, uint64_t now)
{
    uint64_t gap = period->idle_at ? now - period->idle_at : 0;
    if (gap)
        period->gaps[period->gap_count++ % GS_GAPS] = gap < UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
}

/* What pauses like the newest ones cost in all if a pause of `grace` is bridged: time nobody uses, and disturbances. */
static uint64_t cost(const struct gs_busy_period *period, uint32_t count, uint64_t grace)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += period->gaps[i] <= grace ? period->gaps[i] : grace + SWITCH_NS;
    return sum;
}

/*
 * Bridging is worth it for programs that pause shortly and regularly; where pauses come at random, waiting longer
 * makes the next launch no likelier, and the cheapest grace is none.
 */
static uint64_t learned_grace(const struct gs_busy_period *period)
{
    static const uint64_t choices[] = {0, 20 * US, 50 * US, 100 * US, 200 * US, GRACE_LIMIT_NS};
    uint32_t count = period->gap_count < GS_GAPS ? period->gap_count : GS_GAPS;
    uint64_t best = 100 * US, least = UINT64_MAX;
    for (unsigned i = 0; count >= 8 && i < sizeof choices / sizeof *choices; i++) {
        uint64_t price = cost(period, count, choices[i]);
        if (price < least) {
            least = price;
            best = choices[i];
        }
    }
    return best;
}

static uint64_t grace(const struct gs_attachment *attachment)
{
    uint32_t chosen = attachment->share->policy.grace_us;
    return chosen == 0 ? learned_grace(&attachment->busy_period) : (chosen - 1) * US;
}

/* Wants the lock. */
static void begin(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t now = gs_now();
    learn_gap(period, now);
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

/* Wants the lock. */
static void end(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    __atomic_store_n(&period->begun, 0, __ATOMIC_SEQ_CST);
    GS_WRITE(period->in_grace, false);
    __atomic_store_n(&attachment->process->until_ns, 0, __ATOMIC_SEQ_CST);
    gs_gpu_page_open(attachment->page, bit_of(attachment));
    attachment->share->preempt_ns += period->idle_at > period->begun_at ? period->idle_at - period->begun_at : 0;
}

static void first_of_period(struct gs_attachment *attachment, CUstream stream)
{
    struct gs_busy_period *period = &attachment->busy_period;
    pthread_mutex_lock(&period->lock);
    if (period->in_grace) { /* still closed: nobody came in between */
        learn_gap(period, gs_now());
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
    /* Before the look at `begun`: whoever drops the bit looks at both in the other order (work_ended()). */
    __atomic_add_fetch(&period->launches, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&period->begun, __ATOMIC_SEQ_CST) && !__atomic_load_n(&period->in_grace, __ATOMIC_RELAXED) &&
        newest_stream == stream && newest_period == GS_READ(period->begun_at))
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

/* Wants the lock. The work is done: opens now, or when the grace is over. */
static void work_ended(struct gs_attachment *attachment, uint64_t launches, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t bridged = grace(attachment);
    period->idle_at = now;
    attachment->share->grace_ns = bridged;
    if (bridged) {
        period->grace_launches = launches;
        period->grace_until = now + bridged;
        __atomic_store_n(&period->in_grace, true, __ATOMIC_SEQ_CST);
        gs_timer_thread_hurry();
        return;
    }
    end(attachment);
    if (__atomic_load_n(&period->launches, __ATOMIC_SEQ_CST) != launches)
        begin(attachment); /* somebody launched meanwhile, into a stream of the period, and saw the bit still set */
}

void gs_preempt_synced(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    if (!__atomic_load_n(&period->begun, __ATOMIC_RELAXED) || gs_capturing())
        return;
    pthread_mutex_lock(&period->lock);
    uint64_t launches = __atomic_load_n(&period->launches, __ATOMIC_SEQ_CST);
    if (period->begun && !period->in_grace && all_idle(period))
        work_ended(attachment, launches, gs_now());
    pthread_mutex_unlock(&period->lock);
}

/* Work that nobody waited for: asks the GPU once nothing new came since the last look. Wants the lock. */
static void look(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t launches = __atomic_load_n(&period->launches, __ATOMIC_SEQ_CST);
    if (launches != period->seen) {
        period->seen = launches;
        GS_WRITE(attachment->active_at, now);
        return;
    }
    bool blind = gs_capturing() || period->untracked;
    if (blind ? now - GS_READ(attachment->active_at) > BLIND_NS : all_idle(period))
        work_ended(attachment, launches, now);
}

/* Wants the lock. A launch that came while the bit was about to linger did not end the grace itself. */
static void end_of_grace(struct gs_attachment *attachment)
{
    struct gs_busy_period *period = &attachment->busy_period;
    uint64_t launches = period->grace_launches;
    GS_WRITE(period->in_grace, false);
    if (__atomic_load_n(&period->launches, __ATOMIC_SEQ_CST) != launches)
        return;
    end(attachment);
    if (__atomic_load_n(&period->launches, __ATOMIC_SEQ_CST) != launches)
        begin(attachment);
}

/* Between busy periods both stay at a nap: the next launch is not to pay for waking them. */
static uint64_t next_look(const struct gs_busy_period *period, uint64_t now)
{
    return GS_READ(period->begun) || now - GS_READ(period->begun_at) < DROWSY_NS ? now + LOOK_NS : UINT64_MAX;
}

/* Signs of life come from here: they say that the process is not stopped, not that its driver answers. */
uint64_t gs_preempt_timer_tick(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    if (!__atomic_load_n(&period->begun, __ATOMIC_RELAXED))
        return next_look(period, now);
    __atomic_store_n(&attachment->process->beat_ns, now, __ATOMIC_RELAXED);
    /* A launch holds the lock for a moment; a synchronisation while it asks the driver. */
    if (pthread_mutex_trylock(&period->lock) != 0)
        return now + LOOK_NS / 10;
    if (period->begun && period->in_grace && now >= period->grace_until)
        end_of_grace(attachment);
    uint64_t next = period->begun && period->in_grace ? period->grace_until : next_look(period, now);
    pthread_mutex_unlock(&period->lock);
    return next;
}

uint64_t gs_preempt_poll_tick(struct gs_attachment *attachment, uint64_t now)
{
    struct gs_busy_period *period = &attachment->busy_period;
    if (!__atomic_load_n(&period->begun, __ATOMIC_RELAXED))
        return next_look(period, now);
    pthread_mutex_lock(&period->lock);
    if (period->begun && !period->in_grace)
        look(attachment, now);
    pthread_mutex_unlock(&period->lock);
    return next_look(period, now);
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
