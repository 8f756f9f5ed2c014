/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/order.h"

#include "cuda/core/context.h"

uint64_t gs_stream_ready(CUstream stream)
{
    uint64_t ready = MAX(gs_now_ns(), stream->tail);
    if (stream->flags & CU_STREAM_NON_BLOCKING)
        return ready;
    if (!stream->legacy)
        return MAX(ready, stream->ctx->streams->tail);
    for (CUstream other = stream->next; other; other = other->next)
        if (!(other->flags & CU_STREAM_NON_BLOCKING))
            ready = MAX(ready, other->tail);
    return ready;
}

static bool has_queued(CUstream stream, uint64_t sequence)
{
    return stream->first && stream->first->sequence <= sequence;
}

bool gs_context_queued(CUcontext ctx, uint64_t sequence)
{
    for (CUstream stream = ctx->streams; stream; stream = stream->next)
        if (has_queued(stream, sequence))
            return true;
    return false;
}

bool gs_stream_queued(CUstream stream, uint64_t sequence)
{
    return stream->legacy ? gs_context_queued(stream->ctx, sequence) : has_queued(stream, sequence);
}

bool gs_stream_behind(CUstream stream, uint64_t sequence)
{
    if (stream->flags & CU_STREAM_NON_BLOCKING)
        return false;
    CUstream legacy = stream->ctx->streams;
    if (!stream->legacy)
        return legacy->first && legacy->first->sequence < sequence;
    for (CUstream other = legacy->next; other; other = other->next)
        if (!(other->flags & CU_STREAM_NON_BLOCKING) && other->first
            && other->first->sequence < sequence)
            return true;
    return false;
}
