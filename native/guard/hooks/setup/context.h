/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: the first one of this process on a GPU costs the share its `context` bytes, the last
 * one returns them.
 */
#ifndef GS_CONTEXT_H
#define GS_CONTEXT_H

#include "driver/place.h"

/* Where an allocation of the calling thread would go. */
struct gs_place gs_place_current(void);

/* Where a stream's allocations go. */
struct gs_place gs_place_of_stream(CUstream stream);

void gs_context_forget(void);

#endif
