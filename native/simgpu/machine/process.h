/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what /proc says about a process.
 * Owner: none.
 * Threads: any.
 * Limits: processes of this pid namespace.
 */
#ifndef GS_SIM_PROCESS_H
#define GS_SIM_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* NUL-terminated, cut at size - 1; returns the length. */
size_t gs_read_file(const char *path, char *text, size_t size);
uint64_t gs_process_start(pid_t pid); /* clock ticks since boot; 0: no such process, or a zombie */

#endif
