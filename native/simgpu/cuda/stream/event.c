/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of events, and events shared with other processes. */
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/graph/op.h"
#include "cuda/memory/ipc_handle.h"
#include "cuda/memory/pool.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/event_clock.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"
#include "cuda/stream/wait.h"
#include "cuda/execution/types.h"
#include "cuda/execution/worker.h"

static CUevent event_new(CUcontext ctx, unsigned int flags)
{
    CUevent event = gs_handle_new(KIND_EVENT, sizeof *event);
    event->ctx = ctx;
    event->flags = flags;
    event->time = &event->own_time;
    event->clock_fd = -1;
    return event;
}

CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(event && !(flags & ~7u), CUDA_ERROR_INVALID_VALUE);
    CHECK(!(flags & CU_EVENT_INTERPROCESS) || flags & CU_EVENT_DISABLE_TIMING,
          CUDA_ERROR_INVALID_VALUE);
    *event = event_new(call.ctx, flags);
    return flags & CU_EVENT_INTERPROCESS ? gs_event_share(*event) : CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    gs_event_unshare(event);
    free(event->frontier.nodes);
    gs_handle_free(event);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event)
{
    return cuEventDestroy_v2(event);
}

static CUresult record(CUcontext ctx, CUevent event, CUstream handle)
{
    CUstream stream;
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    TRY(gs_stream_of(ctx, handle, &stream));
    CHECK(event->ctx == stream->ctx, CUDA_ERROR_INVALID_HANDLE);
    if (stream->capture)
        return gs_capture_record(stream, event);
    event->capture = NULL;
    gs_op op = {.type = OP_RECORD, .event = {.event = event}};
    return gs_submit(stream->ctx, stream, &op);
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return record(call.ctx, event, stream);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(!(flags & ~CU_EVENT_RECORD_EXTERNAL), CUDA_ERROR_INVALID_VALUE);
    return record(call.ctx, event, stream);
}

CUresult cuEventQuery(CUevent event)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    TRY(gs_context_health(event->ctx));
    CHECK(!event->capture, CUDA_ERROR_CAPTURED_EVENT);
    CHECK(!event->queued && *event->time <= gs_now_ns(), CUDA_ERROR_NOT_READY);
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    TRY(gs_context_health(event->ctx));
    CHECK(!event->capture, CUDA_ERROR_CAPTURED_EVENT);
    while (event->queued) {
        gs_sleep_queue();
        CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
        TRY(gs_context_health(event->ctx));
    }
    TRY(gs_wait_until(*event->time, event->ctx));
    gs_pools_settle(call.ctx ? call.ctx : gs_context_current());
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end)
{
    ENTER(NEED_INIT);
    CHECK(milliseconds, CUDA_ERROR_INVALID_VALUE);
    CHECK(gs_handle_is(start, KIND_EVENT) && gs_handle_is(end, KIND_EVENT),
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(!((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING), CUDA_ERROR_INVALID_HANDLE);
    CHECK((*start->time || start->queued) && (*end->time || end->queued),
          CUDA_ERROR_INVALID_HANDLE);
    uint64_t now = gs_now_ns();
    CHECK(!start->queued && !end->queued && *start->time <= now && *end->time <= now,
          CUDA_ERROR_NOT_READY);
    *milliseconds = (float)((double)((int64_t)*end->time - (int64_t)*start->time) / 1e6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

CUresult cuIpcGetEventHandle(CUipcEventHandle *handle, CUevent event)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    CHECK(handle && event->clock_fd >= 0, CUDA_ERROR_INVALID_VALUE);
    gs_ipc_handle exported = gs_ipc_handle_of(event->clock_fd, event->ctx->device);
    memset(handle, 0, sizeof *handle);
    memcpy(handle, &exported, sizeof exported);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent *event, CUipcEventHandle handle)
{
    gs_ipc_handle imported;
    ENTER(NEED_CONTEXT);
    CHECK(event, CUDA_ERROR_INVALID_VALUE);
    CHECK(gs_ipc_handle_read(&imported, &handle), CUDA_ERROR_INVALID_VALUE);
    int fd = gs_ipc_handle_open(&imported);
    CHECK(fd >= 0, CUDA_ERROR_MAP_FAILED);
    *event = event_new(call.ctx, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
    return gs_event_map(*event, fd);
}
