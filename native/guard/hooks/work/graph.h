/* SPDX-License-Identifier: Apache-2.0 */
/* The graph hooks' state, for the child of a fork. Threads: its only one. */
#ifndef GS_GRAPH_H
#define GS_GRAPH_H

/* In the child of a fork. */
void gs_graph_forget(void);

#endif
