/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
