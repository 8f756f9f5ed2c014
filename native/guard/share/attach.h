/* SPDX-License-Identifier: Apache-2.0 */
/* This process' share: the region that it has mapped, and its slot there. A GPU is its index in the region. */
#ifndef GS_ATTACH_H
#define GS_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "share/region.h"

/* True when GPUSHARE_REGION named a region and it could be mapped. */
bool gs_active(void);

/* That region, or NULL; it stays mapped for good. */
struct gs_region *gs_shared_region(void);

/* This process' slot in it; NULL until it holds anything. */
struct gs_region_slot *gs_shared_slot(void);

/* Takes a slot if there is none yet; false when all are in use. Wants the region's lock held. */
bool gs_attach_join(void);

/* The slot's number; -1: none yet. */
int gs_attach_slot(void);

/* The region's GPU with this UUID, or -1. */
int gs_gpu_by_uuid(const unsigned char uuid[16]);
int gs_gpu_by_name(const char *uuid);

uint64_t gs_context_bytes(int gpu);

void gs_count_unlisted(void);
void gs_count_unhooked(const char *symbol);

void gs_attach_forget(void);

/* Defined in init.c. Called once, before gs_active() is first true: prepares what depends on the region. */
void gs_region_opened(const struct gs_region *region);

#endif
