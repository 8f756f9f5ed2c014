/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives: whether the process that owns a slot of a shared file still runs, for a judge in any pid
 * namespace.
 *
 * Model. A life is a random number that no other process ever has. Its process holds an open file
 * description lock (fcntl(2)) on the byte of that number, far beyond the end of the file. The
 * descriptor is closed at once: a mapping keeps the open file, and with it the lock, until the
 * process ends or executes another program. No child inherits that mapping (MADV_DONTFORK), and no
 * program can close it by closing descriptors that it does not know.
 *
 * Invariants:
 * 1. A life that has begun ends exactly with the memory of its process.
 * 2. gs_life_ended() is true only for a life that has ended, for good. A judge that cannot open the
 *    file, for example after a chroot, does not know, and frees nothing.
 *
 * Owner: the process. Threads: any; takes no lock of ours; may change errno.
 * Limits: the file system must support such locks: local ones do, tmpfs too.
 */
#ifndef GS_LIFE_H
#define GS_LIFE_H

#include <stdbool.h>
#include <stdint.h>

/* Begins a life in the file of this mapping (shared_file.h); 0 when that is impossible. */
uint64_t gs_life_begin(const void *mapped);

/* Whether the life has ended that was begun in the file of this descriptor; false for -1. */
bool gs_life_ended(int fd, uint64_t life);

#endif
