/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_VMM_H
#define GS_VMM_H

void gs_vmm_forget(void);

#endif
