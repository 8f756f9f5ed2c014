/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph hooks' state, for the child of a fork: whether executable graphs with memory nodes
 * exist.
 * Owner: graph.c sets it at the first such graph. Threads: the child's only one.
 * Limits: stays set when the graphs are gone; what each of them needs is in the ledger.
 */
#ifndef GS_GRAPH_H
#define GS_GRAPH_H

/* In the child of a fork. */
void gs_graph_forget(void);

#endif
