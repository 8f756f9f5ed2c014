/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a process is alive. A process is identified by pid and start time, which /proc shows.
 * Owner: none; no state. Threads: any; takes no lock; may change errno.
 * Limits: only for processes of the caller's pid namespace.
 */
#ifndef GS_PROCESS_H
#define GS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Clock ticks from boot to the start of a process; 0 when the process is gone or cannot be read. */
uint64_t gs_process_start(pid_t pid);

/* The pid namespace of the caller; 0 when unknown. */
uint32_t gs_process_namespace(void);

/* False for a pid that is gone, a zombie, or a later process with the same pid. */
bool gs_process_alive(pid_t pid, uint64_t start);

#endif
