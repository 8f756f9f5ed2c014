/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_LAUNCH_H
#define GS_LAUNCH_H

#include "driver/real.h"

typedef CUresult gs_graph_call(CUgraphExec graph, CUstream stream);

/* Launches a graph through the gate; `actual` is the stream that `stream` means. */
CUresult gs_launch_graph(gs_graph_call *call, CUgraphExec graph, CUstream stream, CUstream actual);

#endif
