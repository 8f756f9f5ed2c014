/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that graphs allocate, charged by what the driver reserves for the graphs of a GPU. */
#ifndef GS_GRAPH_MEMORY_H
#define GS_GRAPH_MEMORY_H

#include <stdbool.h>

#include "driver/real.h"
#include "share/region.h"

/* What one executable graph allocates, and the trim count for which it last had that. */
struct gs_graph_need {
    uint64_t bytes[GS_GPUS];
    uint64_t held_since[GS_GPUS];
    CUdevice device[GS_GPUS];
};

/* From now on graphs may hold memory nodes; until then graph calls cost one branch. */
void gs_graph_gets_memory(void);

/* What a graph will need, for free(); NULL when it allocates nothing on our GPUs. */
struct gs_graph_need *gs_graph_measure(CUgraph graph);

/* Claims what a graph may add on every GPU, if need be after trimming; else nothing. The GPU that is full, or -1. */
int gs_graph_claim(const struct gs_graph_need *need, uint64_t claimed[GS_GPUS]);

/* Charges what the driver reserves now, using up what was claimed; `holds`: the graph has its memory. */
void gs_graph_settle_need(struct gs_graph_need *need, const uint64_t claimed[GS_GPUS], bool holds);

void gs_graph_trim(int gpu);
void gs_graph_settle(int gpu);
void gs_graph_memory_forget(void);

#endif
