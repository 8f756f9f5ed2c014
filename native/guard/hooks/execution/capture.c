/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that begin and end a stream capture. */
#include "driver/capture_state.h"
#include "driver/quiesce.h"

static CUresult begun(CUresult result)
{
    if (result == CUDA_SUCCESS)
        __atomic_add_fetch(&gs_captures, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* A capture that was invalidated ends here too, with an error. */
static CUresult ended(bool was_captured, CUresult result)
{
    if (was_captured && __atomic_sub_fetch(&gs_captures, 1, __ATOMIC_SEQ_CST) < 0)
        __atomic_add_fetch(&gs_captures, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* Inside, so that no capture begins while the suspend thread waits for all work. */
#define BEGIN(symbol, parameters, ...)                        \
    CUresult symbol parameters                                \
    {                                                         \
        return GS_INSIDE(begun(cuda()->symbol(__VA_ARGS__))); \
    }
#define BEGINS(symbol, parameters, ...)    \
    BEGIN(symbol, parameters, __VA_ARGS__) \
    BEGIN(symbol##_ptsz, parameters, __VA_ARGS__)

BEGINS(cuStreamBeginCapture, (CUstream stream), stream)
BEGINS(cuStreamBeginCapture_v2, (CUstream stream, CUstreamCaptureMode mode), stream, mode)
BEGINS(cuStreamBeginCaptureToGraph,
       (CUstream stream, CUgraph graph, const CUgraphNode *after, const CUgraphEdgeData *edges,
        size_t count, CUstreamCaptureMode mode),
       stream, graph, after, edges, count, mode)

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    bool was_captured = gs_is_captured(stream);
    return ended(was_captured, cuda()->cuStreamEndCapture(stream, graph));
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
    bool was_captured = gs_is_captured(stream ? stream : CU_STREAM_PER_THREAD);
    return ended(was_captured, cuda()->cuStreamEndCapture_ptsz(stream, graph));
}
