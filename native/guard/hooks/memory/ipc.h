/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IPC_H
#define GS_IPC_H

/* In the child of a fork. */
void gs_ipc_forget(void);

#endif
