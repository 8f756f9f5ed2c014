/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what /proc says about a process.
 * Owner: none.
 * Threads: any.
 * Limits: processes that this pid namespace sees.
 */
#ifndef GS_SIM_PROCESS_H
#define GS_SIM_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* NUL-terminated, cut at size - 1; returns the length. */
size_t gs_read_file(const char *path, char *text, size_t size);
uint64_t gs_process_start(pid_t pid); /* clock ticks since boot; 0: no such process, or a zombie */
uint64_t gs_process_namespace(void); /* inode number of the pid namespace */
/*
 * The pid here of a process that has another one in its own pid namespace; 0 where it cannot be
 * seen.
 */
pid_t gs_process_here(pid_t pid_inside, uint64_t start);

#endif
