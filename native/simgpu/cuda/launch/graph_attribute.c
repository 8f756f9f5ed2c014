/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of kernel nodes, events of executable graphs, and the DOT output. */
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/graph/graph.h"
#include "cuda/launch/graph_exec.h"
#include "cuda/execution/kernel.h"

static bool is_kernel(CUgraphNode node)
{
    return gs_handle_is(node, KIND_NODE) && node->op->type == OP_KERNEL;
}

/*
 * Only the priority is kept: the other attributes tune caches and clusters, which are not
 * simulated.
 */
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute,
                                       CUkernelNodeAttrValue *value)
{
    ENTER(NEED_INIT);
    CHECK(is_kernel(node) && value, CUDA_ERROR_INVALID_VALUE);
    memset(value, 0, sizeof *value);
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        value->priority = node->priority;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, CUkernelNodeAttrID attribute,
                                       const CUkernelNodeAttrValue *value)
{
    ENTER(NEED_INIT);
    CHECK(is_kernel(node) && value, CUDA_ERROR_INVALID_VALUE);
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        node->priority = value->priority;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from)
{
    ENTER(NEED_INIT);
    CHECK(is_kernel(to) && is_kernel(from), CUDA_ERROR_INVALID_VALUE);
    to->priority = from->priority;
    return CUDA_SUCCESS;
}

static CUresult set_event(CUgraphExec exec, CUgraphNode node, gs_op_type type, CUevent event)
{
    CHECK(gs_handle_is(event, KIND_EVENT), CUDA_ERROR_INVALID_HANDLE);
    gs_op op = {.type = type, .event = {.event = event}};
    return gs_exec_replace(exec, node, &op);
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    ENTER(NEED_INIT);
    return set_event(exec, node, OP_RECORD, event);
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    ENTER(NEED_INIT);
    return set_event(exec, node, OP_WAIT, event);
}

static const char *kind(const gs_op *op)
{
    static const char *const names[] = {"EMPTY",      "KERNEL",       "MEMCPY",     "MEMSET",
                                        "HOST",       "EVENT_RECORD", "EVENT_WAIT", "WRITE_VALUE",
                                        "WAIT_VALUE", "MEM_ALLOC",    "MEM_FREE",   "GRAPH"};
    return names[op->type];
}

CUresult cuGraphDebugDotPrint(CUgraph graph, const char *path, unsigned int flags)
{
    (void)flags;
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(graph, KIND_GRAPH) && path, CUDA_ERROR_INVALID_VALUE);
    FILE *file = fopen(path, "we");
    CHECK(file, CUDA_ERROR_OPERATING_SYSTEM);
    fprintf(file, "digraph dot {\n");
    for (size_t i = 0; i < graph->count; i++) {
        CUgraphNode node = graph->nodes[i];
        fprintf(file, "\"%p\" [label=\"%s %s\"];\n", (void *)node, kind(node->op),
                node->op->type == OP_KERNEL ? node->op->kernel.function->name : "");
        for (size_t k = 0; k < node->after.count; k++)
            fprintf(file, "\"%p\" -> \"%p\";\n", (void *)node->after.nodes[k], (void *)node);
    }
    fprintf(file, "}\n");
    return fclose(file) == 0 ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}
