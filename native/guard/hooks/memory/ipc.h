/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IPC hooks' state: memory of other processes that this one has mapped.
 * Owner: ipc.c, under its own lock. Threads: the child of a fork; takes no lock.
 * Limits: exports are in swap/blocks/ipc_export.h; the child forgets mappings and does not unmap
 * them.
 */
#ifndef GS_IPC_H
#define GS_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/real.h"

/* The allocation of another process that contains an address; false when it is not from a ticket. */
bool gs_ipc_find(CUdeviceptr address, CUdeviceptr *at, uint64_t *bytes);

/* In the child of a fork. */
void gs_ipc_forget(void);

#endif
