/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that graphs allocate, charged by what the driver reserves for the graphs of a GPU. */
#ifndef GS_GRAPH_H
#define GS_GRAPH_H

/* From now on graphs may hold memory nodes; until then graph calls cost one branch. */
void gs_graph_gets_memory(void);

void gs_graph_trim(int gpu);
void gs_graph_settle(int gpu);
void gs_graph_forget(void);

#endif
