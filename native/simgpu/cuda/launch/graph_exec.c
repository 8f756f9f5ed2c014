/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/launch/graph_exec.h"

#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/graph/graph.h"
#include "cuda/memory/graph_memory.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"

typedef struct step {
    CUgraphNode node; /* of the graph it was made from; only compared */
    gs_op *op;
    bool enabled;
} step;

struct CUgraphExec_st {
    step *steps;
    size_t count;
    cuuint64_t flags;
};

#define EXEC(exec) CHECK(gs_handle_is(exec, KIND_EXEC), CUDA_ERROR_INVALID_VALUE)

static void append(CUgraphExec exec, CUgraphNode node)
{
    exec->steps = realloc(exec->steps, (exec->count + 1) * sizeof *exec->steps);
    exec->steps[exec->count++] = (step){node, gs_op_copy(node->op), true};
}

static void visit(CUgraphExec exec, CUgraph graph);

/* Depth first: 1 on the way, 2 done. False on a cycle. */
static bool place(CUgraphExec exec, CUgraphNode node)
{
    if (node->mark == 2)
        return true;
    if (node->mark == 1)
        return false;
    node->mark = 1;
    for (size_t i = 0; i < node->after.count; i++)
        if (!place(exec, node->after.nodes[i]))
            return false;
    if (node->op->type == OP_CHILD)
        visit(exec, node->op->child);
    else
        append(exec, node);
    node->mark = 2;
    return true;
}

static bool order(CUgraphExec exec, CUgraph graph)
{
    bool acyclic = true;
    for (size_t i = 0; i < graph->count; i++)
        graph->nodes[i]->mark = 0;
    for (size_t i = 0; i < graph->count && acyclic; i++)
        acyclic = place(exec, graph->nodes[i]);
    return acyclic;
}

static void visit(CUgraphExec exec, CUgraph graph)
{
    order(exec, graph);
}

static void clear(CUgraphExec exec)
{
    for (size_t i = 0; i < exec->count; i++) {
        gs_op_clear(exec->steps[i].op);
        free(exec->steps[i].op);
    }
    free(exec->steps);
    exec->steps = NULL;
    exec->count = 0;
}

static CUresult instantiate(CUgraphExec *exec, CUgraph graph, cuuint64_t flags)
{
    CHECK(exec && gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);
    *exec = gs_handle_new(KIND_EXEC, sizeof **exec);
    (*exec)->flags = flags;
    if (order(*exec, graph))
        return CUDA_SUCCESS;
    clear(*exec);
    gs_handle_free(*exec);
    *exec = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    ENTER(NEED_CONTEXT);
    return instantiate(exec, graph, flags);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *failed, char *log,
                               size_t room)
{
    ENTER(NEED_CONTEXT);
    if (failed)
        *failed = NULL;
    if (log && room)
        *log = '\0';
    return instantiate(exec, graph, 0);
}

CUresult cuGraphInstantiate(CUgraphExec *exec, CUgraph graph, CUgraphNode *failed, char *log,
                            size_t room)
{
    return cuGraphInstantiate_v2(exec, graph, failed, log, room);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    ENTER(NEED_CONTEXT);
    CHECK(params, CUDA_ERROR_INVALID_VALUE);
    CUresult result = instantiate(exec, graph, params->flags);
    params->hErrNode_out = NULL;
    params->result_out =
        result ? CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE : CUDA_GRAPH_INSTANTIATE_SUCCESS;
    return result;
}

CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags)
{
    ENTER(NEED_INIT);
    EXEC(exec);
    CHECK(flags, CUDA_ERROR_INVALID_VALUE);
    *flags = exec->flags;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    ENTER(NEED_INIT);
    EXEC(exec);
    clear(exec);
    gs_handle_free(exec);
    return CUDA_SUCCESS;
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    EXEC(exec);
    return gs_stream_of(call.ctx, stream, &stream);
}

/* Memory first: a launch without enough memory has no effect. */
static CUresult map_memory(CUgraphExec exec)
{
    bool free_first = exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    for (size_t i = 0; i < exec->count; i++)
        if (exec->steps[i].op->type == OP_ALLOC)
            TRY(gs_graph_memory_map(exec->steps[i].op->memory.at, free_first));
    return CUDA_SUCCESS;
}

static CUresult launch(CUstream stream, CUgraphExec exec)
{
    EXEC(exec);
    TRY(map_memory(exec));
    for (size_t i = 0; i < exec->count; i++) {
        if (!exec->steps[i].enabled || exec->steps[i].op->type == OP_ALLOC)
            continue;
        gs_op *op = gs_op_copy(exec->steps[i].op);
        CUresult result = gs_submit(stream->ctx, stream, op);
        free(op); /* gs_submit() took over what it owned */
        TRY(result);
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream handle)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    EXEC(exec);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(!stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return launch(stream, exec);
}

static bool same_shape(const struct CUgraphExec_st *a, const struct CUgraphExec_st *b,
                       size_t *where)
{
    for (*where = 0; *where < a->count && *where < b->count; ++*where)
        if (a->steps[*where].op->type != b->steps[*where].op->type)
            return false;
    return a->count == b->count;
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    struct CUgraphExec_st updated = {0};
    size_t where = 0;
    ENTER(NEED_INIT);
    EXEC(exec);
    CHECK(info && gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);
    *info = (CUgraphExecUpdateResultInfo){0};
    if (!order(&updated, graph) || !same_shape(exec, &updated, &where)) {
        info->result = updated.count == exec->count ? CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED
                                                    : CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        info->errorNode = updated.count == exec->count ? updated.steps[where].node : NULL;
        clear(&updated);
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    clear(exec);
    exec->steps = updated.steps;
    exec->count = updated.count;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *failed,
                           CUgraphExecUpdateResult *result)
{
    CUgraphExecUpdateResultInfo info = {0};
    CUresult status = cuGraphExecUpdate_v2(exec, graph, &info);
    if (failed)
        *failed = info.errorNode;
    if (result)
        *result = info.result;
    return status;
}

static step *step_of(CUgraphExec exec, CUgraphNode node)
{
    for (size_t i = 0; i < exec->count; i++)
        if (exec->steps[i].node == node)
            return &exec->steps[i];
    return NULL;
}

CUresult gs_exec_replace(CUgraphExec exec, CUgraphNode node, gs_op *op)
{
    EXEC(exec);
    step *step = step_of(exec, node);
    CHECK(step && step->op->type == op->type, CUDA_ERROR_INVALID_VALUE);
    gs_op_clear(step->op);
    *step->op = *op;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int enabled)
{
    ENTER(NEED_INIT);
    EXEC(exec);
    step *step = step_of(exec, node);
    CHECK(step, CUDA_ERROR_INVALID_VALUE);
    CHECK(step->op->type == OP_KERNEL || step->op->type == OP_COPY || step->op->type == OP_MEMSET,
          CUDA_ERROR_INVALID_VALUE);
    step->enabled = enabled != 0;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int *enabled)
{
    ENTER(NEED_INIT);
    EXEC(exec);
    step *step = step_of(exec, node);
    CHECK(step && enabled, CUDA_ERROR_INVALID_VALUE);
    *enabled = step->enabled;
    return CUDA_SUCCESS;
}
