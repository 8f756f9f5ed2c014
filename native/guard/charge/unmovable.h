/* SPDX-License-Identifier: Apache-2.0 */
/* What this process holds that cannot be moved off the GPU; its slot tells the daemon. */
#ifndef GS_UNMOVABLE_H
#define GS_UNMOVABLE_H

#include <stdint.h>

#include "share/region.h"

/* One more, one less of a kind. Nothing is no kind. */
void gs_unmovable_add(uint32_t kind);
void gs_unmovable_drop(uint32_t kind);

/* The kinds of which there are any. */
uint32_t gs_unmovable_now(void);

void gs_unmovable_forget(void);

#endif
