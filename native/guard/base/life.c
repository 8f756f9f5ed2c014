/* SPDX-License-Identifier: Apache-2.0 */
#include "base/life.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/shared_file.h"

/* Far from the content of a file, within what off_t can hold. */
#define SMALLEST (1ull << 40)
#define LARGEST ((1ull << 62) - 1)

enum { ATTEMPTS = 8, PAGE = 4096 };

static struct flock byte_of(uint64_t life)
{
    return (
        struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)life, .l_len = 1};
}

static uint64_t draw(void)
{
    uint64_t life = 0;
    /* Not getrandom(), which came with glibc 2.25; and not a file, which a chroot may lack. */
    if (syscall(SYS_getrandom, &life, sizeof life, 0) != (long)sizeof life)
        return 0;
    return SMALLEST + life % (LARGEST - SMALLEST);
}

static uint64_t lock_one(int fd)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t life = draw();
        struct flock lock = byte_of(life);
        if (life && fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return life;
    }
    return 0;
}

/* Invariant 1. */
static bool keep_open(int fd)
{
    void *at = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, fd, 0);
    return at != MAP_FAILED && madvise(at, PAGE, MADV_DONTFORK) == 0;
}

uint64_t gs_life_begin(const void *mapped)
{
    int kept_errno = errno, fd = gs_shared_file_reopen(mapped);
    uint64_t life = fd < 0 ? 0 : lock_one(fd);
    if (life && !keep_open(fd))
        life = 0;
    if (fd >= 0)
        close(fd);
    errno = kept_errno;
    return life;
}

bool gs_life_ended(int fd, uint64_t life)
{
    struct flock lock = byte_of(life);
    if (life < SMALLEST || life > LARGEST)
        return fd >= 0; /* no process could have begun it */
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}
