/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the contents of a CUDA IPC handle: a descriptor of another process, and where in it.
 * Owner: the exporting process keeps the descriptor open; the importer opens /proc/PID/fd/N and
 *   maps the same bytes.
 * Threads: any.
 * Limits: both processes see each other in /proc; a handle is invalid once its process has ended.
 */
#ifndef GS_SIM_CUDA_IPC_HANDLE_H
#define GS_SIM_CUDA_IPC_HANDLE_H

#include "cuda/core/driver.h"

typedef struct gs_ipc_handle {
    uint32_t magic; /* "GIPC" */
    int32_t pid, fd, device;
    uint64_t start_time, file_offset, size, inside;
    uint64_t length;
} gs_ipc_handle;
_Static_assert(sizeof(gs_ipc_handle) <= CU_IPC_HANDLE_SIZE, "fits a handle");

gs_ipc_handle gs_ipc_handle_of(int fd, int device);
bool gs_ipc_handle_read(gs_ipc_handle *handle, const void *bytes); /* false: not a handle */
int gs_ipc_handle_open(const gs_ipc_handle *handle);               /* -1: the process is gone */

#endif
