/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/stream/capture.h"

#include "cuda/core/context.h"

static gs_capture *captures;
static __thread CUstreamCaptureMode thread_mode;

void gs_frontier_set(gs_frontier *frontier, const CUgraphNode *nodes, size_t count)
{
    frontier->count = 0;
    for (size_t i = 0; i < count; i++)
        gs_frontier_add(frontier, nodes[i]);
}

CUresult gs_capture_op(CUstream stream, gs_op *op)
{
    CUgraphNode node;
    CHECK(stream->capture->status == CU_STREAM_CAPTURE_STATUS_ACTIVE,
          CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    TRY(gs_graph_add(stream->capture->graph, stream->frontier.nodes, stream->frontier.count, op,
                     &node));
    gs_frontier_set(&stream->frontier, &node, 1);
    return CUDA_SUCCESS;
}

/* The legacy stream cannot wait for a capturing stream: the capture is invalidated. */
CUresult gs_capture_forbids(CUcontext ctx)
{
    CUresult result = CUDA_SUCCESS;
    for (CUstream stream = ctx->streams; stream; stream = stream->next)
        if (stream->capture && !(stream->flags & CU_STREAM_NON_BLOCKING)) {
            stream->capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
            result = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
    return result;
}

static bool disturbs(const gs_capture *capture)
{
    bool mine = pthread_equal(capture->thread, pthread_self());
    if (capture->status == CU_STREAM_CAPTURE_STATUS_NONE
        || thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return false;
    if (mine)
        return capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    return thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL
           && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult gs_capture_unsafe(void)
{
    CUresult result = CUDA_SUCCESS;
    for (gs_capture *capture = captures; capture; capture = capture->next)
        if (disturbs(capture)) {
            capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    return result;
}

CUresult gs_capture_wait(CUstream stream, CUevent event)
{
    gs_capture *capture = event->capture;
    CHECK(capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    CHECK(capture->status != CU_STREAM_CAPTURE_STATUS_NONE, CUDA_ERROR_CAPTURED_EVENT);
    CHECK(!stream->capture || stream->capture == capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    CHECK(!stream->legacy, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    stream->capture = capture; /* a fork: this stream captures too */
    for (size_t i = 0; i < event->frontier.count; i++)
        gs_frontier_add(&stream->frontier, event->frontier.nodes[i]);
    return CUDA_SUCCESS;
}

CUresult gs_capture_record(CUstream stream, CUevent event)
{
    CHECK(stream->capture->status == CU_STREAM_CAPTURE_STATUS_ACTIVE,
          CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    event->capture = stream->capture;
    gs_frontier_set(&event->frontier, stream->frontier.nodes, stream->frontier.count);
    return CUDA_SUCCESS;
}

void gs_capture_begin(CUstream stream, CUstreamCaptureMode mode, CUgraph graph)
{
    gs_capture *capture = calloc(1, sizeof *capture);
    *capture = (gs_capture){.graph = graph ? graph : gs_graph_new(),
                            .borrowed = graph != NULL,
                            .mode = mode,
                            .status = CU_STREAM_CAPTURE_STATUS_ACTIVE,
                            .id = ++sim.next_id,
                            .origin = stream,
                            .thread = pthread_self(),
                            .next = captures};
    captures = stream->capture = capture;
    stream->frontier.count = 0;
}

CUstreamCaptureMode gs_capture_exchange_mode(CUstreamCaptureMode mode)
{
    CUstreamCaptureMode before = thread_mode;
    thread_mode = mode;
    return before;
}
