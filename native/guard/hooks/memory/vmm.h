/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks of virtual memory management keep their own record of physical memory.
 * Owner: vmm.c, under its own lock; the ledger has the handles. Threads: the child of a fork;
 * takes no lock.
 * Limits: the model is in vmm.c.
 */
#ifndef GS_VMM_H
#define GS_VMM_H

/* In the child of a fork. */
void gs_vmm_forget(void);

#endif
