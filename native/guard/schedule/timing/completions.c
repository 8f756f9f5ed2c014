/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/completions.h"

#include <string.h>

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/process/poll_thread.h"
#include "schedule/timing/overrun_step.h"
#include "share/region.h"

enum { COMPLETIONS = 64 };
#define MS 1000000ull
#define LOOK_NS (1 * MS)
#define BASE_NS \
    (2000 * MS) /* intervals between events are floats, exact to 1 us for some seconds */

/* One GPU's completions, oldest first, and an event whose time on the host's clock is known. */
struct track {
    pthread_mutex_t lock;
    CUcontext context;
    CUstream stream; /* the poll thread's own */
    CUevent base, completion[COMPLETIONS];
    uint64_t base_ns;
    unsigned first, count;
    struct gs_overrun overrun;
};

static struct track tracks[GS_GPUS] = {[0 ... GS_GPUS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

/* Needs the lock, and the context current. */
static bool has_events(struct track *track, CUcontext context)
{
    if (track->context)
        return track->context == context;
    if (cuda()->cuStreamCreate(&track->stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS
        || cuda()->cuEventCreate(&track->base, CU_EVENT_DEFAULT) != CUDA_SUCCESS)
        return false;
    for (int i = 0; i < COMPLETIONS; i++)
        if (cuda()->cuEventCreate(&track->completion[i], CU_EVENT_DEFAULT) != CUDA_SUCCESS)
            return false;
    track->context = context;
    return true;
}

void gs_completions_record(struct gs_attachment *attachment, int gpu, CUstream stream)
{
    struct track *track = &tracks[gpu];
    CUcontext context;
    if (gs_capturing() || cuda()->cuCtxGetCurrent(&context) != CUDA_SUCCESS
        || context != attachment->context || pthread_mutex_trylock(&track->lock) != 0)
        return;
    if (track->count < COMPLETIONS && has_events(track, context)
        && cuda()->cuEventRecord(track->completion[(track->first + track->count) % COMPLETIONS],
                                 stream)
               == CUDA_SUCCESS
        && track->count++ == 0)
        gs_poll_thread_wake();
    pthread_mutex_unlock(&track->lock);
}

/* The wait returns a few microseconds after the event. Needs the lock. */
static void set_base(struct track *track)
{
    if (cuda()->cuEventRecord(track->base, track->stream) == CUDA_SUCCESS
        && cuda()->cuEventSynchronize(track->base) == CUDA_SUCCESS)
        track->base_ns = gs_now();
}

/* Needs the lock. */
static void count(struct track *track, struct gs_share_slot *slot, uint64_t end)
{
    const struct gs_ended_work work = {
        .end = end,
        .closed_at = __atomic_load_n(&slot->closed_at, __ATOMIC_SEQ_CST),
        .opened_at = __atomic_load_n(&slot->opened_at, __ATOMIC_SEQ_CST),
    };
    uint64_t ns = gs_overrun_step(&track->overrun, &work);
    if (ns)
        __atomic_add_fetch(&slot->overrun_ns, ns, __ATOMIC_RELAXED);
}

/* Needs the lock. */
static void read_completions(struct track *track, struct gs_share_slot *slot)
{
    float ms;
    for (; track->count; track->first = (track->first + 1) % COMPLETIONS, track->count--) {
        CUevent completion = track->completion[track->first];
        if (cuda()->cuEventQuery(completion) == CUDA_ERROR_NOT_READY)
            return;
        if (track->base_ns
            && cuda()->cuEventElapsedTime(&ms, track->base, completion) == CUDA_SUCCESS)
            count(track, slot, track->base_ns + (uint64_t)(int64_t)((double)ms * 1e6));
    }
}

uint64_t gs_completions_tick(struct gs_attachment *attachment, int gpu, uint64_t now)
{
    struct track *track = &tracks[gpu];
    if (gs_capturing())
        return UINT64_MAX;
    pthread_mutex_lock(&track->lock);
    read_completions(track, attachment->share);
    if (track->context && now - track->base_ns > BASE_NS
        && now - GS_READ(attachment->active_at) < BASE_NS)
        set_base(track);
    bool waits = track->count > 0;
    pthread_mutex_unlock(&track->lock);
    return waits ? now + LOOK_NS : UINT64_MAX;
}

void gs_completions_forget_context(CUcontext context)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        pthread_mutex_lock(&tracks[gpu].lock);
        if (tracks[gpu].context == context)
            tracks[gpu] = (struct track){.lock = tracks[gpu].lock};
        pthread_mutex_unlock(&tracks[gpu].lock);
    }
}

void gs_completions_forget(void)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        tracks[gpu] = (struct track){.lock = PTHREAD_MUTEX_INITIALIZER};
}
