/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SHARED_FILE_H
#define GS_SHARED_FILE_H

#include <stddef.h>

/*
 * Makes a file that other processes map, of `size` bytes: whoever sees it under its name sees all of it. Its pages are
 * reserved, so that a full disk fails here and not as SIGBUS inside a tenant's program. A negative errno on failure.
 */
int gs_shared_file_make(const char *path, size_t size,
                        void (*fill)(void *content, const void *with), const void *with);

#endif
