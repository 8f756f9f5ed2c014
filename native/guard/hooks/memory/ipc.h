/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IPC hooks' state: memory of other processes that this one has mapped.
 * Threads: the child of a fork. Limits: exports are in swap/blocks/ipc_export.h.
 */
#ifndef GS_IPC_H
#define GS_IPC_H

/* In the child of a fork. */
void gs_ipc_forget(void);

#endif
