/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/gate.h"

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/decide/preempt.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/cost_model.h"
#include "schedule/timing/timeslice.h"
#include "share/region.h"

#define US 1000ull
#define TURN_QUANTUM_NS (500 * US) /* between fences where only turns are at stake */
#define LONG_NS (200 * US)         /* a launch that may be what a turn's end finds running */
#define WAIT_NS (50000 * US)

static struct gs_lane *lane_of(struct gs_ride *ride, CUstream stream)
{
    size_t at = (size_t)(((uintptr_t)stream * 0x9e3779b97f4a7c15ull) >> 58);
    struct gs_lane *lane = &ride->lanes[at % GS_LANES];
    if (GS_READ(lane->stream) != stream) { /* another stream's: a look too many does no harm */
        GS_WRITE(lane->stream, stream);
        GS_WRITE(lane->load, UINT64_MAX / 2);
    }
    return lane;
}

static bool beside_urgent(const struct gs_ride *ride)
{
    return ride->seat->policy.rank == GS_LOW && __atomic_load_n(&ride->board->urgent, __ATOMIC_RELAXED);
}

static bool in_turns(const struct gs_ride *ride)
{
    const struct gs_seat_policy *policy = &ride->seat->policy;
    return gs_takes_turns(policy) && (gs_capped(policy) || __atomic_load_n(&ride->board->turns, __ATOMIC_RELAXED));
}

static uint64_t quantum(const struct gs_ride *ride)
{
    return beside_urgent(ride) ? ride->seat->policy.quantum_us * US : TURN_QUANTUM_NS;
}

/* The conductor has to know of the wish before it can give a turn. */
static void wish(struct gs_ride *ride)
{
    uint64_t now = gs_now();
    GS_WRITE(ride->active_at, now);
    __atomic_store_n(&ride->rider->want_ns, now, __ATOMIC_SEQ_CST);
    gs_timer_thread_wake();
}

static uint32_t waits_for(const struct gs_ride *ride)
{
    return GS_SHUT_TURN | (GS_READ(ride->word) ? 0 : GS_SHUT_URGENT);
}

static void wait_shut(struct gs_ride *ride, uint32_t bits)
{
    uint64_t begun = gs_now();
    __atomic_add_fetch(&ride->rider->busy, 1, __ATOMIC_SEQ_CST);
    gs_timer_thread_wake();
    while (__atomic_load_n(&ride->seat->word, __ATOMIC_SEQ_CST) & bits)
        gs_seat_wait(ride->seat, bits, WAIT_NS);
    __atomic_sub_fetch(&ride->rider->busy, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&ride->seat->waits, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&ride->seat->waited_ns, gs_now() - begun, __ATOMIC_RELAXED);
}

void gs_gate_wait(CUstream stream)
{
    struct gs_ride *ride = gs_is_captured(stream) ? NULL : gs_ride_here();
    if (!ride || !(in_turns(ride) || (!GS_READ(ride->word) && beside_urgent(ride))))
        return;
    wish(ride);
    uint32_t bits = waits_for(ride);
    if (__atomic_load_n(&ride->seat->word, __ATOMIC_SEQ_CST) & bits)
        wait_shut(ride, bits);
}

static void put_fence(struct gs_ride *ride, CUstream stream)
{
    if (in_turns(ride))
        gs_mark(ride, ride->gpu, stream);
    if (beside_urgent(ride))
        gs_slice_beside_urgent(ride);
    CUresult result = cuda()->cuStreamWaitValue32_v2(stream, GS_READ(ride->word), 0, CU_STREAM_WAIT_VALUE_EQ);
    if (result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_INVALID_VALUE)
        GS_WRITE(ride->word, 0); /* this driver or stream cannot: from now on the host waits */
    __atomic_add_fetch(&ride->fences, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&ride->seat->fences, 1, __ATOMIC_RELAXED);
    gs_timer_thread_wake();
}

/* A look at the word before the quantum would be exceeded. What is not known is taken to fill one. */
static void fence(struct gs_ride *ride, struct gs_pass *pass)
{
    uint64_t most = quantum(ride), known = gs_meter_estimate(pass->key), ns = known ? known : most;
    struct gs_lane *lane = lane_of(ride, pass->stream);
    uint64_t load = __atomic_load_n(&lane->load, __ATOMIC_RELAXED) + ns;
    if (load > most && GS_READ(ride->word)) {
        put_fence(ride, pass->stream);
        load = ns;
    }
    __atomic_store_n(&lane->load, load, __ATOMIC_RELAXED);
    GS_WRITE(ride->newest, pass->stream);
    __atomic_add_fetch(&ride->seat->busy_ns, known, __ATOMIC_RELAXED);
    pass->sample = gs_meter_begin(pass->key, pass->stream);
    /* A launch that waits for room in the queue is a wish too. */
    __atomic_add_fetch(&ride->rider->busy, 1, __ATOMIC_SEQ_CST);
}

/* Whether a share is idle, and how fast it is, has to be seen where nothing holds it back, too. */
static void count(struct gs_ride *ride)
{
    __atomic_add_fetch(&ride->seat->launches, 1, __ATOMIC_RELAXED);
}

void gs_gate_before(struct gs_pass *pass)
{
    struct gs_ride *ride = gs_is_captured(pass->stream) ? NULL : gs_ride_here();
    pass->sample = -1;
    if (!ride)
        return;
    count(ride);
    if (ride->seat->policy.rank == GS_HIGH)
        gs_urgent_launch(ride, pass->stream);
    else if (!beside_urgent(ride))
        (in_turns(ride) ? gs_slice_in_turns : gs_slice_usual)(ride);
    if (!beside_urgent(ride) && !in_turns(ride))
        return;
    pass->ride = ride;
    fence(ride, pass);
}

void gs_gate_after(struct gs_pass *pass, CUresult result)
{
    if (!pass->ride)
        return;
    __atomic_sub_fetch(&pass->ride->rider->busy, 1, __ATOMIC_SEQ_CST);
    gs_meter_end(pass->sample, pass->stream, result == CUDA_SUCCESS, pass->ride);
    if (in_turns(pass->ride) && gs_meter_estimate(pass->key) > LONG_NS)
        gs_mark(pass->ride, pass->ride->gpu, pass->stream);
}

void gs_gate_copies(CUstream stream)
{
    struct gs_ride *ride = gs_is_captured(stream) ? NULL : gs_ride_here();
    if (!ride)
        return;
    count(ride);
    if (ride->seat->policy.rank == GS_HIGH)
        gs_urgent_launch(ride, stream);
}

bool gs_gate_divides(CUstream stream)
{
    struct gs_ride *ride = gs_is_captured(stream) ? NULL : gs_ride_here();
    return ride && beside_urgent(ride);
}

/* A mark tells when work ended only while the work still runs. */
static void mark_running(struct gs_ride *ride, CUstream stream)
{
    if (!gs_capturing() && cuda()->cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
        gs_mark(ride, ride->gpu, stream);
}

struct gs_ride *gs_gate_sync_begins(const CUstream *stream)
{
    struct gs_ride *ride = gs_ride_here();
    if (!ride || !gs_takes_turns(&ride->seat->policy))
        return NULL;
    /* Also while there are no turns: they may begin before the wait ends. */
    __atomic_add_fetch(&ride->rider->busy, 1, __ATOMIC_SEQ_CST);
    if (in_turns(ride)) {
        wish(ride);
        mark_running(ride, stream ? *stream : GS_READ(ride->newest));
    }
    return ride;
}

void gs_gate_asked(void)
{
    struct gs_ride *ride = gs_ride_here();
    if (ride && in_turns(ride))
        wish(ride);
}

void gs_gate_sync_ended(struct gs_ride *begun)
{
    struct gs_ride *ride = begun ? begun : gs_ride_here();
    if (begun)
        __atomic_sub_fetch(&begun->rider->busy, 1, __ATOMIC_SEQ_CST);
    if (ride && ride->seat->policy.rank == GS_HIGH)
        gs_urgent_synced(ride);
}

void gs_gate_context_ends(CUcontext context)
{
    gs_meter_forget_context(context);
    gs_marks_forget_context(context);
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_ride *ride = gs_ride_number(gpu);
        if (ride)
            gs_urgent_forget_streams(ride);
    }
    gs_rides_context_ends(context);
}
