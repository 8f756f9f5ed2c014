/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: faults and Xid errors of a device.
 * Owner: the image; contexts compare fault_seq with what they have seen.
 * Threads: under the image lock.
 * Limits: the last GS_MAX_XIDS Xid errors are kept.
 */
#ifndef GS_SIM_FAULT_H
#define GS_SIM_FAULT_H

#include "machine/image.h"

/*
 * A fatal fault. `result` is what the contexts that it breaks answer from now on. pid 0: every
 * process.
 */
void gs_device_fault(gs_image *image, int device, pid_t pid, uint32_t xid, int result);
/* An Xid that breaks nothing. */
void gs_device_note_xid(gs_image *image, int device, pid_t pid, uint32_t xid);

#endif
