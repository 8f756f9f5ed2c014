/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks of virtual memory management keep their own record of physical memory.
 * Threads: the child of a fork. Limits: the model is in vmm.c.
 */
#ifndef GS_VMM_H
#define GS_VMM_H

/* In the child of a fork. */
void gs_vmm_forget(void);

#endif
