/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_GRAPH_H
#define GS_GRAPH_H

/* In the child of a fork. */
void gs_graph_forget(void);

#endif
