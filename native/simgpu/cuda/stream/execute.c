/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: what a stream does, in order. */
#include "cuda/core/sim.h"

gs_op *gs_op_copy(const gs_op *op)
{
    gs_op *copy = malloc(sizeof *copy);
    *copy = *op;
    copy->next = NULL;
    if (op->type == OP_KERNEL && op->kernel.params) {
        copy->kernel.params = malloc(op->kernel.size + 1);
        memcpy(copy->kernel.params, op->kernel.params, op->kernel.size);
    }
    return copy;
}

void gs_op_clear(gs_op *op)
{
    if (op->type == OP_KERNEL)
        free(op->kernel.params);
}

static void run_kernel(CUstream stream, const gs_op *op)
{
    const gs_kernel *kernel = &op->kernel;
    const gs_device *device = gs_device_of(stream->ctx->device);
    uint64_t threads = (uint64_t)kernel->block[0] * kernel->block[1] * kernel->block[2];
    uint64_t blocks = (uint64_t)kernel->grid[0] * kernel->grid[1] * kernel->grid[2];
    uint64_t fit = MAX(1, device->threads_per_sm / MAX(threads, 1));
    uint32_t sms = (uint32_t)MIN(device->sms, (blocks + fit - 1) / fit);
    uint64_t duration = gs_kernel_ns(stream->ctx, kernel);
    stream->tail = gs_timeline_kernel(stream->ctx, gs_stream_ready(stream), duration, sms);
    gs_kernel_run(stream->ctx, kernel);
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
    stream->tail = gs_stream_ready(stream) + gs_copy_ns(stream->ctx->device, bytes, false);
    gs_memset_run(params);
}

static void copy(CUstream stream, const CUDA_MEMCPY3D *params)
{
    stream->tail = gs_stream_ready(stream) + gs_copy_time(stream->ctx, params);
    gs_copy_run(params);
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
    case OP_ALLOC: return gs_graph_memory_map(op, false);
    case OP_FREE: return gs_free(op->memory.at);
    case OP_LAUNCH: return gs_graph_launch(stream, op->launch);
    default: break;
    }
    return CUDA_SUCCESS;
}

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
