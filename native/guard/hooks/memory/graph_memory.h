/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of graphs with memory nodes. The driver has one pool of it per GPU, so the charge follows
 * what it reserves for all graphs of a GPU.
 * Owner: graph_memory.c. Threads: any; one lock per GPU. Limits: programs without such graphs pay
 * one branch.
 */
#ifndef GS_GRAPH_MEMORY_H
#define GS_GRAPH_MEMORY_H

#include <stdbool.h>

#include "driver/real.h"
#include "share/region.h"

/* What an executable graph allocates, and the number of trims when it last had that memory. */
struct gs_graph_need {
    uint64_t bytes[GS_GPUS];
    uint64_t held_since[GS_GPUS];
    CUdevice device[GS_GPUS];
};

/* From now on graphs may have memory nodes. */
void gs_graph_gets_memory(void);

/* What a graph allocates; free() it. NULL when that is nothing on the share's GPUs. */
struct gs_graph_need *gs_graph_measure(CUgraph graph);

/* Charges what a launch may add on every GPU, or nothing; returns the GPU that is full, or -1. */
int gs_graph_claim(const struct gs_graph_need *need, uint64_t claimed[GS_GPUS]);

/* Sets the charge to what the driver reserves now; `holds`: the graph has its memory. */
void gs_graph_settle_need(struct gs_graph_need *need, const uint64_t claimed[GS_GPUS], bool holds);

/* The shrinker. */
void gs_graph_trim(int gpu);
void gs_graph_settle(int gpu);

/* In the child of a fork. */
void gs_graph_memory_forget(void);

#endif
