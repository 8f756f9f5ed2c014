/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
    const void *at; /* NULL: unmapped */
    dev_t device;
    ino_t inode;
    struct mapping *next;
    char path[];
};

static struct mapping *mappings;

static int write_all(int fd, size_t size, void (*fill)(void *, const void *), const void *with)
{
    int error = posix_fallocate(fd, 0, (off_t)size);
    if (error)
        return -error;
    void *content = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (content == MAP_FAILED)
        return -errno;
    fill(content, with);
    munmap(content, size);
    return 0;
}

int gs_shared_file_make(const char *path, size_t size,
                        void (*fill)(void *content, const void *with), const void *with)
{
    char draft[4096];
    if (snprintf(draft, sizeof draft, "%s.XXXXXX", path) >= (int)sizeof draft)
        return -ENAMETOOLONG;
    int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write_all(fd, size, fill, with);
    close(fd);
    if (result == 0 && rename(draft, path) < 0)
        result = -errno;
    if (result < 0)
        unlink(draft);
    return result;
}

int gs_shared_file_open(const char *path, int flags, size_t size)
{
    struct stat info;
    int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= (off_t)size)
        return fd;
    close(fd);
    return -EBADMSG;
}

static struct mapping *find(const void *at)
{
    struct mapping *mapping = __atomic_load_n(&mappings, __ATOMIC_ACQUIRE);
    while (mapping && __atomic_load_n(&mapping->at, __ATOMIC_RELAXED) != at)
        mapping = mapping->next;
    return mapping;
}

static void *map_and_remember(const char *path, int fd, size_t size)
{
    struct stat info;
    size_t length = strlen(path) + 1;
    struct mapping *mapping = calloc(1, sizeof *mapping + length);
    if (!mapping)
        return NULL;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || fstat(fd, &info) < 0) {
        free(mapping);
        return NULL;
    }
    *mapping = (struct mapping){.at = at, .device = info.st_dev, .inode = info.st_ino};
    memcpy(mapping->path, path, length);
    mapping->next = __atomic_load_n(&mappings, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&mappings, &mapping->next, mapping, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    return at;
}

void *gs_shared_file_map(const char *path, size_t size)
{
    int fd = gs_shared_file_open(path, 0, size);
    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    void *at = map_and_remember(path, fd, size);
    int error = errno;
    close(fd);
    errno = error;
    return at;
}

void gs_shared_file_unmap(void *at, size_t size)
{
    struct mapping *mapping = find(at);
    if (mapping)
        __atomic_store_n(&mapping->at, NULL, __ATOMIC_RELAXED);
    munmap(at, size);
}

/* Another file may have its name by now. */
static bool is_of(const struct mapping *mapping, int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && info.st_dev == mapping->device && info.st_ino == mapping->inode;
}

int gs_shared_file_reopen(const void *at)
{
    const struct mapping *mapping = find(at);
    if (!mapping)
        return -EINVAL;
    int fd = gs_shared_file_open(mapping->path, 0, 0);
    if (fd < 0 || is_of(mapping, fd))
        return fd;
    close(fd);
    return -ESTALE;
}
