/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/execute.h"

#include "cuda/core/context.h"
#include "cuda/core/handle.h"
#include "cuda/memory/allocation.h"
#include "cuda/memory/arena.h"
#include "cuda/memory/graph_memory.h"
#include "cuda/execution/copy.h"
#include "cuda/execution/in_flight.h"
#include "cuda/execution/kernel.h"
#include "cuda/execution/order.h"
#include "cuda/execution/timeline.h"

static void run_kernel(CUstream stream, const gs_op *op)
{
    const gs_kernel *kernel = &op->kernel;
    uint32_t sms = gs_kernel_sms(stream->ctx, kernel);
    uint64_t duration = gs_kernel_ns(stream->ctx, kernel);
    stream->tail = gs_timeline_kernel(stream->ctx, gs_stream_ready(stream), duration, sms);
    gs_kernel_run(stream->ctx, kernel, stream->tail);
}

static void record(CUstream stream, const gs_op *op)
{
    CUevent event = op->event.event;
    if (!gs_handle_is(event, KIND_EVENT))
        return;
    *event->time = gs_stream_ready(stream);
    if (event->queued == op->sequence)
        event->queued = 0;
}

static void write_value(const CUstreamMemOpValueParams *value)
{
    void *at = gs_bytes(value->address);
    if (value->operation == CU_STREAM_MEM_OP_WRITE_VALUE_64)
        __atomic_store_n((uint64_t *)at, value->value64, __ATOMIC_SEQ_CST);
    else
        __atomic_store_n((uint32_t *)at, value->value, __ATOMIC_SEQ_CST);
}

static void fill(CUstream stream, const CUDA_MEMSET_NODE_PARAMS *params)
{
    uint64_t bytes = params->width * params->elementSize * params->height;
    if (gs_memset_check(params) != CUDA_SUCCESS) {
        gs_illegal_address(stream->ctx);
        return;
    }
    stream->tail = gs_stream_ready(stream) + gs_copy_ns(stream->ctx->device, bytes, false);
    gs_memset_run(params);
    gs_in_flight(stream->ctx, params->dst, bytes, stream->tail);
}

static void copy(CUstream stream, const CUDA_MEMCPY3D *params)
{
    if (gs_copy_check(params) != CUDA_SUCCESS) {
        gs_illegal_address(stream->ctx);
        return;
    }
    stream->tail = gs_stream_ready(stream) + gs_copy_time(stream->ctx, params);
    gs_copy_run(params);
    gs_copy_in_flight(stream->ctx, params, stream->tail);
}

CUresult gs_execute(CUstream stream, gs_op *op)
{
    switch (op->type) {
    case OP_KERNEL: run_kernel(stream, op); break;
    case OP_COPY: copy(stream, &op->copy); break;
    case OP_MEMSET: fill(stream, &op->memset); break;
    case OP_RECORD: record(stream, op); break;
    case OP_WAIT:
        if (gs_handle_is(op->event.event, KIND_EVENT))
            stream->tail = MAX(stream->tail, *op->event.event->time);
        break;
    case OP_VALUE_WRITE: write_value(&op->value); break;
    case OP_ALLOC: return gs_graph_memory_map(op->memory.at, false);
    case OP_FREE: return gs_free(op->memory.at);
    default: break;
    }
    return CUDA_SUCCESS;
}
