/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launches: the hooks that queue GPU work. The way of a launch is in native/guard/README.md.
 * Owner: none; the gate has the state. Threads: any; takes no lock of the guard while nothing
 * changes.
 * Limits: one branch each when no gate is armed.
 */
#ifndef GS_LAUNCH_H
#define GS_LAUNCH_H

#include "driver/real.h"

typedef CUresult gs_graph_call(CUgraphExec graph, CUstream stream);

/* Launches a graph; `actual` is the stream that the handle `stream` stands for. */
CUresult gs_launch_graph(gs_graph_call *call, CUgraphExec graph, CUstream stream, CUstream actual);

#endif
