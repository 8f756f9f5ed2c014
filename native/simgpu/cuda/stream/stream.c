/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/stream/stream.h"

#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/pool.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/submit.h"
#include "cuda/stream/wait.h"
#include "cuda/execution/order.h"
#include "cuda/execution/worker.h"

CUstream gs_stream_new(CUcontext ctx, unsigned int flags, int priority)
{
    CUstream stream = gs_handle_new(KIND_STREAM, sizeof *stream), *link = &ctx->streams;
    *stream =
        (struct CUstream_st){.ctx = ctx, .flags = flags, .priority = priority, .id = ++sim.next_id};
    while (*link)
        link = &(*link)->next;
    *link = stream;
    return stream;
}

void gs_stream_free(CUstream stream)
{
    CUstream *link = &stream->ctx->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    gs_queue_drop(stream);
    free(stream->frontier.nodes);
    gs_handle_free(stream);
}

static CUstream per_thread(CUcontext ctx)
{
    for (CUstream stream = ctx->streams; stream; stream = stream->next)
        if (stream->per_thread && pthread_equal(stream->owner, pthread_self()))
            return stream;
    CUstream created = gs_stream_new(ctx, 0, 0);
    created->per_thread = true;
    created->owner = pthread_self();
    return created;
}

CUresult gs_stream_of(CUcontext ctx, CUstream handle, CUstream *stream)
{
    if (handle == NULL)
        handle = gs_per_thread_default ? CU_STREAM_PER_THREAD : CU_STREAM_LEGACY;
    if (handle == CU_STREAM_LEGACY) {
        *stream = ctx->streams;
        return gs_capture_forbids(ctx);
    }
    if (handle == CU_STREAM_PER_THREAD) {
        *stream = per_thread(ctx);
        return CUDA_SUCCESS;
    }
    CHECK(gs_handle_is(handle, KIND_STREAM), CUDA_ERROR_INVALID_HANDLE);
    *stream = handle;
    return gs_context_health(handle->ctx);
}

static CUresult create(CUcontext ctx, CUstream *stream, unsigned int flags, int priority)
{
    CHECK(stream && !(flags & ~CU_STREAM_NON_BLOCKING), CUDA_ERROR_INVALID_VALUE);
    *stream = gs_stream_new(ctx, flags, MAX(-5, MIN(0, priority)));
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    return create(call.ctx, stream, flags, 0);
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags, int priority)
{
    ENTER(NEED_CONTEXT);
    return create(call.ctx, stream, flags, priority);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(stream, KIND_STREAM) && !stream->legacy && !stream->per_thread,
          CUDA_ERROR_INVALID_HANDLE);
    while (stream->first && gs_context_health(stream->ctx) == CUDA_SUCCESS)
        gs_sleep_queue();
    gs_stream_free(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream)
{
    return cuStreamDestroy_v2(stream);
}

CUresult cuStreamQuery(CUstream handle)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(!stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK(!gs_stream_queued(stream, sim.sequence) && gs_stream_ready(stream) <= gs_now_ns(),
          CUDA_ERROR_NOT_READY);
    gs_pools_settle(stream->ctx);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream handle)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    if (stream->capture) {
        stream->capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return gs_stream_wait(stream);
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned int flags)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    (void)flags;
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    if (stream->capture || event->capture)
        return gs_capture_wait(stream, event);
    gs_op op = {.type = OP_WAIT, .event = {.event = event, .sequence = event->queued}};
    return gs_submit(stream->ctx, stream, &op);
}

#define STREAM_GETTER(function, type, expression)     \
    CUresult function(CUstream handle, type *value)   \
    {                                                 \
        CUstream stream;                              \
        ENTER(NEED_CONTEXT);                          \
        CHECK(value, CUDA_ERROR_INVALID_VALUE);       \
        TRY(gs_stream_of(call.ctx, handle, &stream)); \
        *value = (expression);                        \
        return CUDA_SUCCESS;                          \
    }
STREAM_GETTER(cuStreamGetPriority, int, stream->priority)
STREAM_GETTER(cuStreamGetFlags, unsigned int, stream->flags)
STREAM_GETTER(cuStreamGetId, unsigned long long, stream->id)
STREAM_GETTER(cuStreamGetCtx, CUcontext, stream->ctx)
STREAM_GETTER(cuStreamGetDevice, CUdevice, stream->ctx->ordinal)

CUresult cuStreamGetCtx_v2(CUstream handle, CUcontext *ctx, CUgreenCtx *green)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    if (ctx)
        *ctx = stream->ctx;
    if (green)
        *green = NULL;
    return CUDA_SUCCESS;
}

CUresult cuStreamCopyAttributes(CUstream to, CUstream from)
{
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, to, &to));
    return gs_stream_of(call.ctx, from, &from);
}

CUresult cuStreamGetAttribute(CUstream handle, CUstreamAttrID attribute, CUstreamAttrValue *value)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(value, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    memset(value, 0, sizeof *value);
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        value->priority = stream->priority;
    if (attribute == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY)
        value->syncPolicy = 1;
    return CUDA_SUCCESS;
}

CUresult cuStreamSetAttribute(CUstream handle, CUstreamAttrID attribute,
                              const CUstreamAttrValue *value)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(value, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        stream->priority = value->priority;
    return CUDA_SUCCESS;
}
