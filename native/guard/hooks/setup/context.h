/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts of this process, and where its allocations go.
 * Owner: context.c; a context is charged with what the region says a context costs on its GPU.
 * Threads: any; takes its own lock and the ledger's. Limits: a context that no hook has seen is
 * recorded, and charged by force, at the first allocation in it.
 */
#ifndef GS_CONTEXT_H
#define GS_CONTEXT_H

#include "driver/place.h"

/* Where an allocation of the calling thread goes; GPU -1 without a share or a context. */
struct gs_place gs_place_current(void);

/* Where a stream's allocations go. */
struct gs_place gs_place_of_stream(CUstream stream);

/* Waits for the work of every context of this process. One that is broken is left out. */
void gs_contexts_wait(void);

/* In the child of a fork. */
void gs_context_forget(void);

#endif
