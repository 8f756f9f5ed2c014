/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why memory of this process cannot leave the GPU: counts per reason, published as bits in its
 * slot.
 * Owner: the hooks count. Threads: any; takes its own lock. Limits: 8 reasons, enum gs_unmovable; 0
 * counts nothing.
 */
#ifndef GS_UNMOVABLE_H
#define GS_UNMOVABLE_H

#include <stdint.h>

#include "share/region.h"

/* One allocation more, one less, with this reason. */
void gs_unmovable_add(uint32_t kind);
void gs_unmovable_drop(uint32_t kind);

/* The reasons that apply now. */
uint32_t gs_unmovable_now(void);

/* In the child of a fork. */
void gs_unmovable_forget(void);

#endif
