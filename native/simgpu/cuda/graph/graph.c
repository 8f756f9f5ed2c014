/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/graph/graph.h"

#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/graph_memory.h"

#define GRAPH(graph) CHECK(gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE)
#define NODE(node) CHECK(gs_handle_is(node, KIND_NODE), CUDA_ERROR_INVALID_VALUE)

CUgraph gs_graph_new(void)
{
    return gs_handle_new(KIND_GRAPH, sizeof(struct CUgraph_st));
}

bool gs_frontier_add(gs_frontier *frontier, CUgraphNode node)
{
    for (size_t i = 0; i < frontier->count; i++)
        if (frontier->nodes[i] == node)
            return false;
    frontier->nodes = realloc(frontier->nodes, (frontier->count + 1) * sizeof node);
    frontier->nodes[frontier->count++] = node;
    return true;
}

static void node_free(CUgraphNode node)
{
    if (node->op->type == OP_ALLOC && !node->cloned_from)
        gs_graph_memory_forget(node->op->memory.at);
    if (node->op->type == OP_CHILD)
        gs_graph_free(node->op->child);
    gs_op_clear(node->op);
    free(node->op);
    free(node->after.nodes);
    free(node->pointers);
    gs_handle_free(node);
}

void gs_graph_free(CUgraph graph)
{
    for (size_t i = 0; i < graph->count; i++)
        node_free(graph->nodes[i]);
    gs_user_objects_drop(graph->retained);
    free(graph->nodes);
    gs_handle_free(graph);
}

static CUresult check_all(CUgraph graph, const CUgraphNode *nodes, size_t count)
{
    CHECK(nodes || !count, CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < count; i++)
        CHECK(gs_handle_is(nodes[i], KIND_NODE) && nodes[i]->graph == graph,
              CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult gs_graph_add(CUgraph graph, const CUgraphNode *after, size_t count, gs_op *op,
                      CUgraphNode *node)
{
    GRAPH(graph);
    TRY(check_all(graph, after, count));
    CUgraphNode added = gs_handle_new(KIND_NODE, sizeof *added);
    added->graph = graph;
    added->op = malloc(sizeof *op);
    *added->op = *op;
    for (size_t i = 0; i < count; i++)
        gs_frontier_add(&added->after, after[i]);
    graph->nodes = realloc(graph->nodes, (graph->count + 1) * sizeof added);
    graph->nodes[graph->count++] = added;
    if (node)
        *node = added;
    return CUDA_SUCCESS;
}

static CUgraphNode counterpart(CUgraph clone, CUgraphNode original)
{
    for (size_t i = 0; i < clone->count; i++)
        if (clone->nodes[i]->cloned_from == original)
            return clone->nodes[i];
    return NULL;
}

CUgraph gs_graph_clone(CUgraph graph)
{
    CUgraph clone = gs_graph_new();
    for (size_t i = 0; i < graph->count; i++) {
        CUgraphNode node;
        gs_op *op = gs_op_copy(graph->nodes[i]->op);
        if (op->type == OP_CHILD)
            op->child = gs_graph_clone(op->child);
        gs_graph_add(clone, NULL, 0, op, &node);
        node->cloned_from = graph->nodes[i];
        free(op);
    }
    for (size_t i = 0; i < graph->count; i++)
        for (size_t k = 0; k < graph->nodes[i]->after.count; k++)
            gs_frontier_add(&clone->nodes[i]->after,
                            counterpart(clone, graph->nodes[i]->after.nodes[k]));
    return clone;
}

CUresult cuGraphCreate(CUgraph *graph, unsigned int flags)
{
    ENTER(NEED_INIT);
    CHECK(graph && flags == 0, CUDA_ERROR_INVALID_VALUE);
    *graph = gs_graph_new();
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    gs_graph_free(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *clone, CUgraph graph)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    CHECK(clone, CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < graph->count; i++)
        CHECK(graph->nodes[i]->op->type != OP_ALLOC && graph->nodes[i]->op->type != OP_FREE,
              CUDA_ERROR_NOT_SUPPORTED);
    *clone = gs_graph_clone(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *node, CUgraphNode original, CUgraph clone)
{
    ENTER(NEED_INIT);
    GRAPH(clone);
    CHECK(node, CUDA_ERROR_INVALID_VALUE);
    *node = counterpart(clone, original);
    return *node ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUgraphNodeType node_type(const gs_op *op)
{
    switch (op->type) {
    case OP_KERNEL: return CU_GRAPH_NODE_TYPE_KERNEL;
    case OP_COPY: return CU_GRAPH_NODE_TYPE_MEMCPY;
    case OP_MEMSET: return CU_GRAPH_NODE_TYPE_MEMSET;
    case OP_HOST: return CU_GRAPH_NODE_TYPE_HOST;
    case OP_CHILD: return CU_GRAPH_NODE_TYPE_GRAPH;
    case OP_WAIT: return CU_GRAPH_NODE_TYPE_WAIT_EVENT;
    case OP_RECORD: return CU_GRAPH_NODE_TYPE_EVENT_RECORD;
    case OP_ALLOC: return CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    case OP_FREE: return CU_GRAPH_NODE_TYPE_MEM_FREE;
    case OP_VALUE_WRITE:
    case OP_VALUE_WAIT: return CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
    default: return CU_GRAPH_NODE_TYPE_EMPTY;
    }
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
    ENTER(NEED_INIT);
    NODE(node);
    CHECK(type, CUDA_ERROR_INVALID_VALUE);
    *type = node_type(node->op);
    return CUDA_SUCCESS;
}

/*
 * Queries of graphs: without an array the number, else up to *room nodes, and NULL in the rest of
 * the array.
 */
static CUresult copy_out(CUgraphNode *out, size_t *room, const CUgraphNode *nodes, size_t count)
{
    CHECK(room, CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; out && i < *room; i++)
        out[i] = i < count ? nodes[i] : NULL;
    *room = out ? MIN(*room, count) : count;
    return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *room)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    return copy_out(nodes, room, graph->nodes, graph->count);
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *room)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    gs_frontier roots = {0};
    for (size_t i = 0; i < graph->count; i++)
        if (!graph->nodes[i]->after.count)
            gs_frontier_add(&roots, graph->nodes[i]);
    CUresult result = copy_out(nodes, room, roots.nodes, roots.count);
    free(roots.nodes);
    return result;
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *room)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    CHECK(room && !from == !to, CUDA_ERROR_INVALID_VALUE);
    size_t count = 0;
    for (size_t i = 0; i < graph->count; i++)
        for (size_t k = 0; k < graph->nodes[i]->after.count; k++, count++)
            if (from && count < *room) {
                from[count] = graph->nodes[i]->after.nodes[k];
                to[count] = graph->nodes[i];
            }
    *room = from ? MIN(*room, count) : count;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *nodes, size_t *room)
{
    ENTER(NEED_INIT);
    NODE(node);
    return copy_out(nodes, room, node->after.nodes, node->after.count);
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *nodes, size_t *room)
{
    ENTER(NEED_INIT);
    NODE(node);
    gs_frontier later = {0};
    for (size_t i = 0; i < node->graph->count; i++)
        for (size_t k = 0; k < node->graph->nodes[i]->after.count; k++)
            if (node->graph->nodes[i]->after.nodes[k] == node)
                gs_frontier_add(&later, node->graph->nodes[i]);
    CUresult result = copy_out(nodes, room, later.nodes, later.count);
    free(later.nodes);
    return result;
}

static bool remove_edge(gs_frontier *frontier, CUgraphNode node)
{
    for (size_t i = 0; i < frontier->count; i++)
        if (frontier->nodes[i] == node) {
            frontier->nodes[i] = frontier->nodes[--frontier->count];
            return true;
        }
    return false;
}

/* Adds or removes edges one by one, up to the first that `change` refuses. */
static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             size_t count, bool (*change)(gs_frontier *frontier, CUgraphNode node))
{
    GRAPH(graph);
    TRY(check_all(graph, from, count));
    TRY(check_all(graph, to, count));
    for (size_t i = 0; i < count; i++)
        CHECK(change(&to[i]->after, from[i]), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t count)
{
    ENTER(NEED_INIT);
    return change_edges(graph, from, to, count, gs_frontier_add);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t count)
{
    ENTER(NEED_INIT);
    return change_edges(graph, from, to, count, remove_edge);
}

/* Edge data is always zero: every edge is an ordinary dependency. */
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to,
                            CUgraphEdgeData *data, size_t *room)
{
    CUresult result = cuGraphGetEdges(graph, from, to, room);
    if (result == CUDA_SUCCESS && data && from)
        memset(data, 0, *room * sizeof *data);
    return result;
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode *nodes, CUgraphEdgeData *data,
                                       size_t *room)
{
    CUresult result = cuGraphNodeGetDependencies(node, nodes, room);
    if (result == CUDA_SUCCESS && data && nodes)
        memset(data, 0, *room * sizeof *data);
    return result;
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *nodes,
                                         CUgraphEdgeData *data, size_t *room)
{
    CUresult result = cuGraphNodeGetDependentNodes(node, nodes, room);
    if (result == CUDA_SUCCESS && data && nodes)
        memset(data, 0, *room * sizeof *data);
    return result;
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *data, size_t count)
{
    (void)data;
    return cuGraphAddDependencies(graph, from, to, count);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const CUgraphEdgeData *data, size_t count)
{
    (void)data;
    return cuGraphRemoveDependencies(graph, from, to, count);
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    ENTER(NEED_INIT);
    NODE(node);
    CUgraph graph = node->graph;
    size_t kept = 0;
    CHECK(node->op->type != OP_ALLOC && node->op->type != OP_FREE, CUDA_ERROR_NOT_SUPPORTED);
    for (size_t i = 0; i < graph->count; i++) {
        remove_edge(&graph->nodes[i]->after, node);
        if (graph->nodes[i] != node)
            graph->nodes[kept++] = graph->nodes[i];
    }
    graph->count = kept;
    node_free(node);
    return CUDA_SUCCESS;
}

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count,
                                 unsigned int move)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    CHECK(count && move <= 1, CUDA_ERROR_INVALID_VALUE);
    return gs_user_object_retain(&graph->retained, object, count, move);
}

CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count)
{
    ENTER(NEED_INIT);
    GRAPH(graph);
    return gs_user_object_release(&graph->retained, object, count);
}
