/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a machine whose driver does not clear memory (`residue=1`): what programs wrote is found
 * in memory that is allocated later.
 * Owner: the image holds, per device, the newest page that was written and the bytes that hold it.
 * Threads: both functions take the image's lock.
 * Limits: one page stands for all old content; kernels leave none. Fills with zero clear as many
 * bytes as they write.
 */
#ifndef GS_SIM_RESIDUE_H
#define GS_SIM_RESIDUE_H

#include "machine/image.h"

/* `size` bytes were written on the device, beginning with these. */
void gs_residue_note(gs_image *image, int device, const void *bytes, uint64_t size);

/* How many bytes of the device hold old content, and the page that it consists of. */
uint64_t gs_residue_of(gs_image *image, int device, unsigned char page[GS_RESIDUE_PAGE]);

#endif
