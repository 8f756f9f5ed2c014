/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/stream/submit.h"

#include "cuda/stream/capture.h"
#include "cuda/execution/execute.h"
#include "cuda/execution/worker.h"

CUresult gs_submit(CUcontext ctx, CUstream stream, gs_op *op)
{
    op->ctx = ctx;
    if (stream->capture)
        return gs_capture_op(stream, op);
    op->sequence = ++sim.sequence;
    if (gs_must_queue(stream, op)) {
        if (op->type == OP_RECORD)
            op->event.event->queued = op->sequence;
        gs_queue(stream, op);
        return CUDA_SUCCESS;
    }
    CUresult result = gs_execute(stream, op);
    gs_op_clear(op);
    return result;
}
