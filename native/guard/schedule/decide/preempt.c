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
#define SWITCH_NS (150 * US)    /* what it costs urgent work to find others on the GPU, see learned_grace() */
#define GRACE_LIMIT_NS (300 * US)

static __thread CUstream newest_stream;
static __thread uint64_t newest_burst;

static uint32_t bit_of(struct gs_ride *ride)
{
    return gs_board_urgent_bit(ride->board, ride->place);
}

/* Wants the lock. */
static void track(struct gs_burst *burst, CUstream stream)
{
    for (int i = 0; i < burst->count; i++)
        if (burst->streams[i] == stream)
            return;
    if (burst->count < GS_TRACKED)
        burst->streams[burst->count++] = stream;
    else
        burst->untracked = true;
}

static void learn_gap(struct gs_burst *burst, uint64_t now)
{
    uint64_t gap = burst->idle_at ? now - burst->idle_at : 0;
    if (gap)
        burst->gaps[burst->gap_count++ % GS_GAPS] = gap < UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
}

/* What pauses like the newest ones cost in all if a pause of `grace` is bridged: time nobody uses, and disturbances. */
static uint64_t cost(const struct gs_burst *burst, uint32_t count, uint64_t grace)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += burst->gaps[i] <= grace ? burst->gaps[i] : grace + SWITCH_NS;
    return sum;
}

/*
 * Bridging is worth it for programs that pause shortly and regularly; where pauses come at random, waiting longer
 * makes the next launch no likelier, and the cheapest grace is none.
 */
static uint64_t learned_grace(const struct gs_burst *burst)
{
    static const uint64_t choices[] = {0, 20 * US, 50 * US, 100 * US, 200 * US, GRACE_LIMIT_NS};
    uint32_t count = burst->gap_count < GS_GAPS ? burst->gap_count : GS_GAPS;
    uint64_t best = 100 * US, least = UINT64_MAX;
    for (unsigned i = 0; count >= 8 && i < sizeof choices / sizeof *choices; i++) {
        uint64_t price = cost(burst, count, choices[i]);
        if (price < least) {
            least = price;
            best = choices[i];
        }
    }
    return best;
}

static uint64_t grace(const struct gs_ride *ride)
{
    uint32_t fixed = ride->seat->policy.grace_us;
    return fixed == 0 ? learned_grace(&ride->burst) : (fixed - 1) * US;
}

/* Wants the lock. */
static void raise_bit(struct gs_ride *ride)
{
    struct gs_burst *burst = &ride->burst;
    uint64_t now = gs_now();
    learn_gap(burst, now);
    GS_WRITE(burst->raised_at, now);
    GS_WRITE(burst->lingers, false);
    __atomic_store_n(&ride->rider->beat_ns, now, __ATOMIC_RELAXED);
    __atomic_store_n(&ride->rider->until_ns, UINT64_MAX, __ATOMIC_SEQ_CST);
    gs_board_shut(ride->board, bit_of(ride));
    __atomic_store_n(&burst->raised, 1, __ATOMIC_SEQ_CST);
    ride->seat->raises++;
    gs_timer_thread_wake();
    gs_poll_thread_wake();
    gs_slice_urgent(ride);
}

/* Wants the lock. */
static void drop_bit(struct gs_ride *ride)
{
    struct gs_burst *burst = &ride->burst;
    __atomic_store_n(&burst->raised, 0, __ATOMIC_SEQ_CST);
    GS_WRITE(burst->lingers, false);
    __atomic_store_n(&ride->rider->until_ns, 0, __ATOMIC_SEQ_CST);
    gs_board_open(ride->board, bit_of(ride));
    ride->seat->raised_ns += burst->idle_at > burst->raised_at ? burst->idle_at - burst->raised_at : 0;
}

static void first_of_burst(struct gs_ride *ride, CUstream stream)
{
    struct gs_burst *burst = &ride->burst;
    pthread_mutex_lock(&burst->lock);
    if (burst->lingers) { /* still shut: nobody came in between */
        learn_gap(burst, gs_now());
        GS_WRITE(burst->lingers, false);
    }
    if (!burst->raised) {
        burst->count = 0;
        burst->untracked = false;
        raise_bit(ride);
    }
    track(burst, stream);
    newest_stream = stream;
    newest_burst = burst->raised_at;
    pthread_mutex_unlock(&burst->lock);
}

void gs_urgent_launch(struct gs_ride *ride, CUstream stream)
{
    struct gs_burst *burst = &ride->burst;
    /* Before the look at `raised`: whoever drops the bit looks at both in the other order (fall()). */
    __atomic_add_fetch(&burst->launches, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&burst->raised, __ATOMIC_SEQ_CST) && !__atomic_load_n(&burst->lingers, __ATOMIC_RELAXED) &&
        newest_stream == stream && newest_burst == GS_READ(burst->raised_at))
        return;
    first_of_burst(ride, stream);
}

static bool all_idle(const struct gs_burst *burst)
{
    for (int i = 0; i < burst->count; i++)
        if (cuda()->cuStreamQuery(burst->streams[i]) == CUDA_ERROR_NOT_READY)
            return false;
    return !burst->untracked;
}

/* Wants the lock. The work is done: opens now, or when the grace is over. */
static void fall(struct gs_ride *ride, uint64_t launches, uint64_t now)
{
    struct gs_burst *burst = &ride->burst;
    uint64_t bridged = grace(ride);
    burst->idle_at = now;
    ride->seat->grace_ns = bridged;
    if (bridged) {
        burst->linger_launches = launches;
        burst->linger_until = now + bridged;
        __atomic_store_n(&burst->lingers, true, __ATOMIC_SEQ_CST);
        gs_timer_thread_hurry();
        return;
    }
    drop_bit(ride);
    if (__atomic_load_n(&burst->launches, __ATOMIC_SEQ_CST) != launches)
        raise_bit(ride); /* somebody launched meanwhile, into a stream of the burst, and saw the bit still raised */
}

void gs_urgent_synced(struct gs_ride *ride)
{
    struct gs_burst *burst = &ride->burst;
    if (!__atomic_load_n(&burst->raised, __ATOMIC_RELAXED) || gs_capturing())
        return;
    pthread_mutex_lock(&burst->lock);
    uint64_t launches = __atomic_load_n(&burst->launches, __ATOMIC_SEQ_CST);
    if (burst->raised && !burst->lingers && all_idle(burst))
        fall(ride, launches, gs_now());
    pthread_mutex_unlock(&burst->lock);
}

/* Work that nobody waited for: asks the GPU once nothing new came since the last look. Wants the lock. */
static void look(struct gs_ride *ride, uint64_t now)
{
    struct gs_burst *burst = &ride->burst;
    uint64_t launches = __atomic_load_n(&burst->launches, __ATOMIC_SEQ_CST);
    if (launches != burst->seen) {
        burst->seen = launches;
        GS_WRITE(ride->active_at, now);
        return;
    }
    bool blind = gs_capturing() || burst->untracked;
    if (blind ? now - GS_READ(ride->active_at) > BLIND_NS : all_idle(burst))
        fall(ride, launches, now);
}

/* Wants the lock. A launch that came while the bit was about to linger did not end the grace itself. */
static void end_of_grace(struct gs_ride *ride)
{
    struct gs_burst *burst = &ride->burst;
    uint64_t launches = burst->linger_launches;
    GS_WRITE(burst->lingers, false);
    if (__atomic_load_n(&burst->launches, __ATOMIC_SEQ_CST) != launches)
        return;
    drop_bit(ride);
    if (__atomic_load_n(&burst->launches, __ATOMIC_SEQ_CST) != launches)
        raise_bit(ride);
}

/* Between bursts both stay at a nap: the next launch is not to pay for waking them. */
static uint64_t next_look(const struct gs_burst *burst, uint64_t now)
{
    return GS_READ(burst->raised) || now - GS_READ(burst->raised_at) < DROWSY_NS ? now + LOOK_NS : UINT64_MAX;
}

/* Signs of life come from here: they say that the process is not stopped, not that its driver answers. */
uint64_t gs_urgent_keep(struct gs_ride *ride, uint64_t now)
{
    struct gs_burst *burst = &ride->burst;
    if (!__atomic_load_n(&burst->raised, __ATOMIC_RELAXED))
        return next_look(burst, now);
    __atomic_store_n(&ride->rider->beat_ns, now, __ATOMIC_RELAXED);
    /* A launch holds the lock for a moment; a synchronisation while it asks the driver. */
    if (pthread_mutex_trylock(&burst->lock) != 0)
        return now + LOOK_NS / 10;
    if (burst->raised && burst->lingers && now >= burst->linger_until)
        end_of_grace(ride);
    uint64_t next = burst->raised && burst->lingers ? burst->linger_until : next_look(burst, now);
    pthread_mutex_unlock(&burst->lock);
    return next;
}

uint64_t gs_urgent_watch(struct gs_ride *ride, uint64_t now)
{
    struct gs_burst *burst = &ride->burst;
    if (!__atomic_load_n(&burst->raised, __ATOMIC_RELAXED))
        return next_look(burst, now);
    pthread_mutex_lock(&burst->lock);
    if (burst->raised && !burst->lingers)
        look(ride, now);
    pthread_mutex_unlock(&burst->lock);
    return next_look(burst, now);
}

void gs_urgent_forget_stream(struct gs_ride *ride, CUstream stream)
{
    struct gs_burst *burst = &ride->burst;
    pthread_mutex_lock(&burst->lock);
    for (int i = 0; i < burst->count; i++)
        if (burst->streams[i] == stream)
            burst->streams[i] = burst->streams[--burst->count];
    pthread_mutex_unlock(&burst->lock);
    newest_stream = NULL;
    newest_burst = 0;
}

void gs_urgent_forget_streams(struct gs_ride *ride)
{
    pthread_mutex_lock(&ride->burst.lock);
    ride->burst.count = 0;
    pthread_mutex_unlock(&ride->burst.lock);
    newest_stream = NULL;
    newest_burst = 0;
}
