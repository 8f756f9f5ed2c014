/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creates a file that other processes map. It appears under its name complete, by rename(), and its
 * pages are reserved, so that a full disk is an error here and not SIGBUS inside a tenant's
 * program.
 * Owner: the daemon. Threads: any.
 * Limits: a path of at most 4088 characters; mode 0600; replaces a file of that name.
 */
#ifndef GS_SHARED_FILE_H
#define GS_SHARED_FILE_H

#include <stddef.h>

/* `fill` writes the content, which is zero before. 0 or a negative errno. */
int gs_shared_file_make(const char *path, size_t size,
                        void (*fill)(void *content, const void *with), const void *with);

#endif
