/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points that add, read and change graph nodes, one set per kind. */
#include "cuda/context/context.h"
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/graph/graph.h"
#include "cuda/launch/graph_exec.h"
#include "cuda/memory/graph_memory.h"
#include "cuda/memory/range.h"
#include "cuda/execution/copy.h"
#include "cuda/execution/kernel.h"

static CUresult make_kernel(CUcontext ctx, const CUDA_KERNEL_NODE_PARAMS *params, gs_op *op)
{
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    *op = (gs_op){.type = OP_KERNEL, .ctx = ctx};
    op->kernel = (gs_kernel){.grid = {params->gridDimX, params->gridDimY, params->gridDimZ},
                             .block = {params->blockDimX, params->blockDimY, params->blockDimZ},
                             .shared = params->sharedMemBytes};
    CHECK(params->gridDimX && params->gridDimY && params->gridDimZ && params->blockDimX
              && params->blockDimY && params->blockDimZ,
          CUDA_ERROR_INVALID_VALUE);
    return gs_kernel_pack(ctx, params->func ? params->func : (CUfunction)params->kern,
                          params->kernelParams, params->extra, &op->kernel);
}

static CUresult make_copy(CUcontext ctx, const CUDA_MEMCPY3D *params, gs_op *op)
{
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_copy_check(params));
    *op = (gs_op){.type = OP_COPY, .ctx = ctx, .copy = *params};
    return CUDA_SUCCESS;
}

static CUresult make_memset(CUcontext ctx, const CUDA_MEMSET_NODE_PARAMS *params, gs_op *op)
{
    CHECK(params
              && (params->elementSize == 1 || params->elementSize == 2 || params->elementSize == 4)
              && params->width && params->height,
          CUDA_ERROR_INVALID_VALUE);
    TRY(gs_memset_check(params));
    *op = (gs_op){.type = OP_MEMSET, .ctx = ctx, .memset = *params};
    return CUDA_SUCCESS;
}

static CUresult make_host(const CUDA_HOST_NODE_PARAMS *params, gs_op *op)
{
    CHECK(params && params->fn, CUDA_ERROR_INVALID_VALUE);
    *op = (gs_op){.type = OP_HOST, .host = {.call = params->fn, .data = params->userData}};
    return CUDA_SUCCESS;
}

static CUresult make_alloc(CUDA_MEM_ALLOC_NODE_PARAMS *params, gs_op *op)
{
    CUcontext ctx;
    CHECK(params && params->poolProps.location.type == CU_MEM_LOCATION_TYPE_DEVICE
              && params->poolProps.location.id >= 0 && params->poolProps.location.id < sim.count,
          CUDA_ERROR_INVALID_VALUE);
    TRY(gs_primary(params->poolProps.location.id, &ctx));
    *op = (gs_op){.type = OP_ALLOC, .ctx = ctx, .memory = {.size = params->bytesize}};
    TRY(gs_graph_memory_reserve(ctx->device, params->bytesize, &op->memory.at));
    params->dptr = op->memory.at;
    return CUDA_SUCCESS;
}

static CUresult make_free(CUdeviceptr at, gs_op *op)
{
    gs_range *range = gs_range_at(at);
    CHECK(range && range->kind == RANGE_GRAPH, CUDA_ERROR_INVALID_VALUE);
    *op = (gs_op){.type = OP_FREE, .memory = {.at = at}};
    return CUDA_SUCCESS;
}

static CUresult make_event(gs_op_type type, CUevent event, gs_op *op)
{
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    *op = (gs_op){.type = type, .event = {.event = event}};
    return CUDA_SUCCESS;
}

static CUresult make_child(CUgraph child, bool move, gs_op *op)
{
    CHECK(gs_handle_is(child, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);
    *op = (gs_op){.type = OP_CHILD, .child = move ? child : gs_graph_clone(child)};
    return CUDA_SUCCESS;
}

#define ADD(name, params_type, make)                                                        \
    CUresult name(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count, \
                  params_type params)                                                       \
    {                                                                                       \
        gs_op op;                                                                           \
        ENTER(NEED_CONTEXT);                                                                \
        CHECK(node && gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);           \
        TRY(make);                                                                          \
        return gs_graph_add(graph, after, count, &op, node);                                \
    }
ADD(cuGraphAddKernelNode_v2, const CUDA_KERNEL_NODE_PARAMS *, make_kernel(call.ctx, params, &op))
ADD(cuGraphAddHostNode, const CUDA_HOST_NODE_PARAMS *, make_host(params, &op))
ADD(cuGraphAddChildGraphNode, CUgraph, make_child(params, false, &op))
ADD(cuGraphAddEventRecordNode, CUevent, make_event(OP_RECORD, params, &op))
ADD(cuGraphAddEventWaitNode, CUevent, make_event(OP_WAIT, params, &op))
ADD(cuGraphAddMemAllocNode, CUDA_MEM_ALLOC_NODE_PARAMS *, make_alloc(params, &op))
ADD(cuGraphAddMemFreeNode, CUdeviceptr, make_free(params, &op))

static CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CUDA_KERNEL_NODE_PARAMS wide = {0};
    memcpy(&wide, params, sizeof *params); /* the newer form only adds members at the end */
    return wide;
}

CUresult cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                              size_t count, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    CUDA_KERNEL_NODE_PARAMS wide = widen(params);
    return cuGraphAddKernelNode_v2(node, graph, after, count, &wide);
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                             size_t count)
{
    gs_op op = {.type = OP_EMPTY};
    ENTER(NEED_INIT);
    CHECK(node, CUDA_ERROR_INVALID_VALUE);
    return gs_graph_add(graph, after, count, &op, node);
}

/* The same for a node that names its context. */
#define ADD_IN(name, params_type, make)                                                     \
    CUresult name(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count, \
                  params_type params, CUcontext ctx)                                        \
    {                                                                                       \
        gs_op op;                                                                           \
        ENTER(NEED_INIT);                                                                   \
        TRY(gs_context_health(ctx));                                                        \
        CHECK(node && gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);           \
        TRY(make);                                                                          \
        return gs_graph_add(graph, after, count, &op, node);                                \
    }
ADD_IN(cuGraphAddMemcpyNode, const CUDA_MEMCPY3D *, make_copy(ctx, params, &op))
ADD_IN(cuGraphAddMemsetNode, const CUDA_MEMSET_NODE_PARAMS *, make_memset(ctx, params, &op))

static CUresult make_any(CUcontext ctx, CUgraphNodeParams *params, gs_op *op)
{
    switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return make_kernel(ctx, &params->kernel, op);
    case CU_GRAPH_NODE_TYPE_MEMCPY: return make_copy(ctx, &params->memcpy.copyParams, op);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        return make_memset(ctx, (CUDA_MEMSET_NODE_PARAMS *)&params->memset, op);
    case CU_GRAPH_NODE_TYPE_HOST: return make_host(&params->host, op);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return make_child(params->graph.graph, params->graph.ownership == 1, op);
    case CU_GRAPH_NODE_TYPE_EMPTY: *op = (gs_op){.type = OP_EMPTY}; return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return make_event(OP_WAIT, params->eventWait.event, op);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return make_event(OP_RECORD, params->eventRecord.event, op);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: return make_alloc(&params->alloc, op);
    case CU_GRAPH_NODE_TYPE_MEM_FREE: return make_free(params->free.dptr, op);
    default: return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                           const CUgraphEdgeData *data, size_t count, CUgraphNodeParams *params)
{
    gs_op op;
    (void)data;
    ENTER(NEED_CONTEXT);
    CHECK(node && params && gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);
    TRY(make_any(call.ctx, params, &op));
    return gs_graph_add(graph, after, count, &op, node);
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count,
                        CUgraphNodeParams *params)
{
    return cuGraphAddNode_v2(node, graph, after, NULL, count, params);
}

#define OF_TYPE(node, kind) \
    CHECK(gs_handle_is(node, KIND_NODE) && node->op->type == (kind), CUDA_ERROR_INVALID_VALUE)

static CUresult show_kernel(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *params)
{
    OF_TYPE(node, OP_KERNEL);
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    const gs_kernel *kernel = &node->op->kernel;
    int count = MAX(kernel->function->params, 0);
    node->pointers = realloc(node->pointers, (size_t)(count + 1) * sizeof(void *));
    for (int i = 0; i < count; i++)
        node->pointers[i] = kernel->params + kernel->function->offset[i];
    *params = (CUDA_KERNEL_NODE_PARAMS){.func = kernel->function,
                                        .gridDimX = kernel->grid[0],
                                        .gridDimY = kernel->grid[1],
                                        .gridDimZ = kernel->grid[2],
                                        .blockDimX = kernel->block[0],
                                        .blockDimY = kernel->block[1],
                                        .blockDimZ = kernel->block[2],
                                        .sharedMemBytes = kernel->shared,
                                        .kernelParams = node->pointers,
                                        .ctx = node->op->ctx};
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *params)
{
    ENTER(NEED_INIT);
    return show_kernel(node, params);
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CUDA_KERNEL_NODE_PARAMS wide;
    ENTER(NEED_INIT);
    TRY(show_kernel(node, &wide));
    memcpy(params, &wide, sizeof *params);
    return CUDA_SUCCESS;
}

static CUresult replace(CUgraphNode node, gs_op *op)
{
    OF_TYPE(node, op->type);
    gs_op_clear(node->op);
    *node->op = *op;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *params)
{
    gs_op op;
    ENTER(NEED_CONTEXT);
    OF_TYPE(node, OP_KERNEL);
    TRY(make_kernel(call.ctx, params, &op));
    return replace(node, &op);
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    CUDA_KERNEL_NODE_PARAMS wide = widen(params);
    return cuGraphKernelNodeSetParams_v2(node, &wide);
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS *params)
{
    gs_op op;
    ENTER(NEED_CONTEXT);
    TRY(make_kernel(call.ctx, params, &op));
    return gs_exec_replace(exec, node, &op);
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    CUDA_KERNEL_NODE_PARAMS wide = widen(params);
    return cuGraphExecKernelNodeSetParams_v2(exec, node, &wide);
}

#define GET(name, kind, type, expression)         \
    CUresult name(CUgraphNode node, type *params) \
    {                                             \
        ENTER(NEED_INIT);                         \
        OF_TYPE(node, kind);                      \
        CHECK(params, CUDA_ERROR_INVALID_VALUE);  \
        *params = (expression);                   \
        return CUDA_SUCCESS;                      \
    }
GET(cuGraphMemcpyNodeGetParams, OP_COPY, CUDA_MEMCPY3D, node->op->copy)
GET(cuGraphMemsetNodeGetParams, OP_MEMSET, CUDA_MEMSET_NODE_PARAMS, node->op->memset)
GET(cuGraphHostNodeGetParams, OP_HOST, CUDA_HOST_NODE_PARAMS,
    ((CUDA_HOST_NODE_PARAMS){node->op->host.call, node->op->host.data}))
GET(cuGraphChildGraphNodeGetGraph, OP_CHILD, CUgraph, node->op->child)
GET(cuGraphEventRecordNodeGetEvent, OP_RECORD, CUevent, node->op->event.event)
GET(cuGraphEventWaitNodeGetEvent, OP_WAIT, CUevent, node->op->event.event)
GET(cuGraphMemFreeNodeGetParams, OP_FREE, CUdeviceptr, node->op->memory.at)
GET(cuGraphMemAllocNodeGetParams, OP_ALLOC, CUDA_MEM_ALLOC_NODE_PARAMS,
    ((CUDA_MEM_ALLOC_NODE_PARAMS){.bytesize = node->op->memory.size,
                                  .dptr = node->op->memory.at,
                                  .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                .location = {CU_MEM_LOCATION_TYPE_DEVICE,
                                                             node->op->ctx->ordinal}}}))

#define SET(name, params_type, make)                    \
    CUresult name(CUgraphNode node, params_type params) \
    {                                                   \
        gs_op op;                                       \
        ENTER(NEED_CONTEXT);                            \
        TRY(make);                                      \
        return replace(node, &op);                      \
    }
SET(cuGraphMemcpyNodeSetParams, const CUDA_MEMCPY3D *, make_copy(call.ctx, params, &op))
SET(cuGraphMemsetNodeSetParams, const CUDA_MEMSET_NODE_PARAMS *, make_memset(call.ctx, params, &op))
SET(cuGraphHostNodeSetParams, const CUDA_HOST_NODE_PARAMS *, make_host(params, &op))
SET(cuGraphEventRecordNodeSetEvent, CUevent, make_event(OP_RECORD, params, &op))
SET(cuGraphEventWaitNodeSetEvent, CUevent, make_event(OP_WAIT, params, &op))
SET(cuGraphNodeSetParams, CUgraphNodeParams *,
    params ? make_any(call.ctx, params, &op) : CUDA_ERROR_INVALID_VALUE)

/* A node of an instantiated graph that names its context. */
#define SET_IN(name, params_type, make)                                                  \
    CUresult name(CUgraphExec exec, CUgraphNode node, params_type params, CUcontext ctx) \
    {                                                                                    \
        gs_op op;                                                                        \
        ENTER(NEED_INIT);                                                                \
        TRY(gs_context_health(ctx));                                                     \
        TRY(make);                                                                       \
        return gs_exec_replace(exec, node, &op);                                         \
    }
SET_IN(cuGraphExecMemcpyNodeSetParams, const CUDA_MEMCPY3D *, make_copy(ctx, params, &op))
SET_IN(cuGraphExecMemsetNodeSetParams, const CUDA_MEMSET_NODE_PARAMS *,
       make_memset(ctx, params, &op))

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                      const CUDA_HOST_NODE_PARAMS *params)
{
    gs_op op;
    ENTER(NEED_INIT);
    TRY(make_host(params, &op));
    return gs_exec_replace(exec, node, &op);
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams *params)
{
    gs_op op;
    ENTER(NEED_CONTEXT);
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    TRY(make_any(call.ctx, params, &op));
    return gs_exec_replace(exec, node, &op);
}
