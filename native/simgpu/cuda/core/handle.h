/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the table of live handles, so that a wrong or stale handle is an error and not a crash.
 * Owner: the file that creates a kind of handle also frees it.
 * Threads: under sim.lock.
 * Limits: the address of a freed handle may be reused by a new one, as on a real driver.
 */
#ifndef GS_SIM_CUDA_HANDLE_H
#define GS_SIM_CUDA_HANDLE_H

#include "cuda/core/driver.h"

typedef enum {
    KIND_NONE,
    KIND_CONTEXT,
    KIND_STREAM,
    KIND_EVENT,
    KIND_MODULE,
    KIND_FUNCTION,
    KIND_LIBRARY,
    KIND_ARRAY,
    KIND_MIPMAP,
    KIND_POOL,
    KIND_GRAPH,
    KIND_NODE,
    KIND_EXEC,
    KIND_CHUNK,
    KIND_USER_OBJECT,
    KIND_LINK
} gs_kind;

void *gs_handle_new(gs_kind kind, size_t size); /* zeroed */
bool gs_handle_is(const void *handle, gs_kind kind);
void gs_handle_free(void *handle);

#endif
