/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: executable graphs: the operations of a graph in an order that respects every edge.
 * Owner: the program; an executable graph copies the operations of its nodes.
 * Threads: under sim.lock.
 * Limits: the operations run one after another on the stream of the launch, not in parallel
 *   branches.
 */
#ifndef GS_SIM_CUDA_GRAPH_EXEC_H
#define GS_SIM_CUDA_GRAPH_EXEC_H

#include "cuda/graph/op.h"

/* Takes over what `op` owns. */
CUresult gs_exec_replace(CUgraphExec exec, CUgraphNode node, gs_op *op);

#endif
