/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creates the pages of a mapping with several threads, so that a full file system is an error here
 * and not SIGBUS at the first access.
 * Owner: none; the caller has the mapping. Threads: any, one call per mapping at a time; returns
 * when its threads have ended.
 * Limits: 16 threads, 4 MiB per step.
 */
#ifndef GS_PREFAULT_H
#define GS_PREFAULT_H

#include <stddef.h>
#include <sys/types.h>

/* `file` and `at` name what is mapped; -1 for anonymous memory. 0 or an errno. */
int gs_prefault(void *memory, size_t bytes, int file, off_t at, unsigned threads);

#endif
