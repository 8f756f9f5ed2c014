/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_PREFAULT_H
#define GS_PREFAULT_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Makes the pages of a mapping exist, by several threads, each with a part of it. `file` and `at` say what is mapped;
 * -1 for anonymous memory. 0, or an errno: a full file system is an error here and SIGBUS elsewhere.
 */
int gs_prefault(void *memory, size_t bytes, int file, off_t at, unsigned threads);

#endif
