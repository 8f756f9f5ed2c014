/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that processes of different users share: creates, opens and maps them. A file appears under
 * its name complete, by rename(), and its pages are reserved, so that a full disk is an error here
 * and not SIGBUS inside a tenant's program.
 * Owner: the daemon creates them; a mapping belongs to the process, children inherit it.
 * Threads: any. The list of mappings only grows and has no lock, so it is valid after a fork.
 * Limits: a path of at most 4088 characters; mode 0600; creating replaces a file of that name.
 */
#ifndef GS_SHARED_FILE_H
#define GS_SHARED_FILE_H

#include <stddef.h>

/* `fill` writes the content, which is zero before. 0 or a negative errno. */
int gs_shared_file_make(const char *path, size_t size,
                        void (*fill)(void *content, const void *with), const void *with);

/*
 * Opens for reading and writing without ever waiting, because a tenant can put a named pipe in the
 * file's place or hold a lease on it. A negative errno: -EWOULDBLOCK for a lease, -EBADMSG for what
 * is no regular file of at least `size` bytes. `flags` in addition, for example O_CREAT.
 */
int gs_shared_file_open(const char *path, int flags, size_t size);

/* Maps the first `size` bytes and remembers the file; NULL and errno on failure. */
void *gs_shared_file_map(const char *path, size_t size);
void gs_shared_file_unmap(void *at, size_t size);

/* Opens the file of a mapping again; a negative errno: -ESTALE when its name means another file. */
int gs_shared_file_reopen(const void *at);

#endif
