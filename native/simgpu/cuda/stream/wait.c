/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/stream/wait.h"

#include <time.h>

#include "cuda/core/context.h"
#include "cuda/core/handle.h"
#include "cuda/memory/pool.h"
#include "cuda/execution/order.h"
#include "cuda/execution/worker.h"

enum { NAP_NS = 20000000 };

CUresult gs_wait_until(uint64_t time, CUcontext ctx)
{
    /* In short sleeps, so that a fault ends the wait. */
    for (uint64_t now = gs_now_ns(); now < time; now = gs_now_ns()) {
        uint64_t until = MIN(time, now + NAP_NS);
        struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
        pthread_mutex_unlock(&sim.lock);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        pthread_mutex_lock(&sim.lock);
        TRY(gs_context_health(ctx));
    }
    return gs_context_health(ctx);
}

CUresult gs_stream_wait(CUstream stream)
{
    CUcontext ctx = stream->ctx;
    uint64_t submitted = sim.sequence;
    while (gs_handle_is(stream, KIND_STREAM) && gs_stream_queued(stream, submitted)) {
        gs_sleep_queue();
        TRY(gs_context_health(ctx));
    }
    CHECK(gs_handle_is(stream, KIND_STREAM), CUDA_ERROR_INVALID_HANDLE);
    TRY(gs_wait_until(gs_stream_ready(stream), ctx));
    gs_pools_settle(ctx);
    return CUDA_SUCCESS;
}

CUresult gs_context_wait(CUcontext ctx)
{
    TRY(gs_context_health(ctx));
    uint64_t last = 0, submitted = sim.sequence;
    while (gs_context_queued(ctx, submitted)) {
        gs_sleep_queue();
        TRY(gs_context_health(ctx));
    }
    for (CUstream stream = ctx->streams; stream; stream = stream->next)
        last = MAX(last, stream->tail);
    TRY(gs_wait_until(last, ctx));
    gs_pools_settle(ctx);
    return CUDA_SUCCESS;
}
