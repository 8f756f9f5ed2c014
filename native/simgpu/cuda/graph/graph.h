/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: graphs as data: nodes, edges, clones.
 * Owner: a graph owns its nodes and their operations; a child graph is owned by its node.
 * Threads: under sim.lock.
 * Limits: nothing runs here; cuda/launch/graph_exec.c launches executable graphs.
 */
#ifndef GS_SIM_CUDA_GRAPH_H
#define GS_SIM_CUDA_GRAPH_H

#include "cuda/graph/op.h"
#include "cuda/graph/user_object.h"

/* A set of nodes: what a node depends on, or what the next captured operation depends on. */
typedef struct gs_frontier {
    CUgraphNode *nodes;
    size_t count;
} gs_frontier;

struct CUgraphNode_st {
    CUgraph graph;
    gs_op *op;
    gs_frontier after; /* the nodes it depends on */
    CUgraphNode cloned_from;
    void **pointers; /* kernelParams as cuGraphKernelNodeGetParams returns them */
    int priority;
    int mark;
};

struct CUgraph_st {
    CUgraphNode *nodes; /* in order of creation */
    size_t count;
    gs_retained *retained;
};

CUgraph gs_graph_new(void);
void gs_graph_free(CUgraph graph);
CUresult gs_graph_add(CUgraph graph, const CUgraphNode *after, size_t count, gs_op *op,
                      CUgraphNode *node);
bool gs_frontier_add(gs_frontier *frontier, CUgraphNode node); /* false: already in it */
CUgraph gs_graph_clone(CUgraph graph);

#endif
