/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of stream capture. */
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/stream.h"

static CUresult begin(CUcontext ctx, CUstream handle, CUstreamCaptureMode mode, CUgraph graph)
{
    CUstream stream;
    CHECK(mode <= CU_STREAM_CAPTURE_MODE_RELAXED, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(ctx, handle, &stream));
    CHECK(!stream->legacy, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK(!stream->capture, CUDA_ERROR_ILLEGAL_STATE);
    gs_capture_begin(stream, mode, graph);
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    ENTER(NEED_CONTEXT);
    return begin(call.ctx, stream, mode, NULL);
}

CUresult cuStreamBeginCapture(CUstream stream)
{
    return cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode *after,
                                     const CUgraphEdgeData *data, size_t count,
                                     CUstreamCaptureMode mode)
{
    (void)data;
    CUstream captured;
    ENTER(NEED_CONTEXT);
    CHECK(gs_handle_is(graph, KIND_GRAPH) && (after || !count), CUDA_ERROR_INVALID_VALUE);
    TRY(begin(call.ctx, stream, mode, graph));
    TRY(gs_stream_of(call.ctx, stream, &captured));
    gs_frontier_set(&captured->frontier, after, count);
    return CUDA_SUCCESS;
}

/* Whether work of a forked stream has not been joined to the origin. */
static bool unjoined(const gs_capture *capture)
{
    CUgraph graph = capture->graph;
    for (size_t i = 0; i < graph->count && !capture->borrowed; i++)
        graph->nodes[i]->mark = 0;
    for (size_t i = 0; i < graph->count; i++)
        for (size_t k = 0; k < graph->nodes[i]->after.count; k++)
            graph->nodes[i]->after.nodes[k]->mark = 1;
    for (size_t i = 0; i < capture->origin->frontier.count; i++)
        capture->origin->frontier.nodes[i]->mark = 1;
    for (size_t i = 0; i < graph->count; i++)
        if (!graph->nodes[i]->mark && !capture->borrowed)
            return true;
    return false;
}

static void leave(gs_capture *capture)
{
    capture->status = CU_STREAM_CAPTURE_STATUS_NONE;
    for (CUstream stream = capture->origin->ctx->streams; stream; stream = stream->next)
        if (stream->capture == capture) {
            stream->capture = NULL;
            stream->frontier.count = 0;
        }
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(graph, CUDA_ERROR_INVALID_VALUE);
    gs_capture *capture = stream->capture;
    *graph = NULL;
    CHECK(capture, CUDA_ERROR_ILLEGAL_STATE);
    CHECK(capture->origin == stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    CHECK(capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED
              || pthread_equal(capture->thread, pthread_self()),
          CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    CUresult result = capture->status == CU_STREAM_CAPTURE_STATUS_INVALIDATED
                          ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                      : unjoined(capture) ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED
                                          : CUDA_SUCCESS;
    leave(capture);
    if (result == CUDA_SUCCESS)
        *graph = capture->graph;
    else if (!capture->borrowed)
        gs_graph_free(capture->graph);
    return result;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    ENTER(NEED_INIT);
    CHECK(mode && *mode <= CU_STREAM_CAPTURE_MODE_RELAXED, CUDA_ERROR_INVALID_VALUE);
    *mode = gs_capture_exchange_mode(*mode);
    return CUDA_SUCCESS;
}

/* Like gs_stream_of(), but a query of the legacy stream invalidates no capture. */
static CUresult peek(CUcontext ctx, CUstream handle, CUstream *stream)
{
    if (handle == CU_STREAM_LEGACY || (!handle && !gs_per_thread_default)) {
        *stream = ctx->streams;
        return CUDA_SUCCESS;
    }
    return gs_stream_of(ctx, handle, stream);
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(status, CUDA_ERROR_INVALID_VALUE);
    TRY(peek(call.ctx, handle, &stream));
    *status = stream->capture ? stream->capture->status : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **after,
                                   const CUgraphEdgeData **data, size_t *count)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(status, CUDA_ERROR_INVALID_VALUE);
    TRY(peek(call.ctx, handle, &stream));
    *status = stream->capture ? stream->capture->status : CU_STREAM_CAPTURE_STATUS_NONE;
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_SUCCESS;
    if (id)
        *id = stream->capture->id;
    if (graph)
        *graph = stream->capture->graph;
    if (after)
        *after = stream->frontier.nodes;
    if (data)
        *data = NULL;
    if (count)
        *count = stream->frontier.count;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **after, size_t *count)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, graph, after, NULL, count);
}

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, NULL, NULL, NULL, NULL);
}

CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *nodes, size_t count,
                                           unsigned int flags)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(stream->capture, CUDA_ERROR_ILLEGAL_STATE);
    CHECK((nodes || !count) && flags <= CU_STREAM_SET_CAPTURE_DEPENDENCIES,
          CUDA_ERROR_INVALID_VALUE);
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES)
        stream->frontier.count = 0;
    for (size_t i = 0; i < count; i++)
        gs_frontier_add(&stream->frontier, nodes[i]);
    return CUDA_SUCCESS;
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode *nodes,
                                              const CUgraphEdgeData *data, size_t count,
                                              unsigned int flags)
{
    (void)data;
    return cuStreamUpdateCaptureDependencies(stream, nodes, count, flags);
}
