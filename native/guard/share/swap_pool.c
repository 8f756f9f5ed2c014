/* SPDX-License-Identifier: Apache-2.0 */
#include "share/swap_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

bool gs_swap_pool_sound(const struct gs_swap_pool *swap)
{
    return swap->magic == GS_SWAP_POOL_MAGIC && swap->version == GS_SWAP_POOL_VERSION
           && swap->header_size == offsetof(struct gs_swap_pool, owner) && swap->unit
           && swap->unit % 4096 == 0 && swap->count <= GS_SWAP_POOL_UNITS;
}

int gs_swap_pool_open(const char *folder, const char *name, int flags)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static struct gs_swap_pool *map_table(int fd)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return NULL;
    errno = EBADMSG;
    if (info.st_size != (off_t)sizeof(struct gs_swap_pool))
        return NULL;
    struct gs_swap_pool *swap = mmap(NULL, sizeof *swap, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (swap == MAP_FAILED)
        return NULL;
    if (gs_swap_pool_sound(swap))
        return swap;
    munmap(swap, sizeof *swap);
    errno = EBADMSG;
    return NULL;
}

struct gs_swap_pool *gs_swap_pool_map(const char *folder, int *data)
{
    int table = gs_swap_pool_open(folder, "table", 0);
    errno = -table;
    struct gs_swap_pool *swap = table < 0 ? NULL : map_table(table);
    int error = errno;
    if (table >= 0)
        close(table);
    *data = swap ? gs_swap_pool_open(folder, "data", 0) : -1;
    if (swap && *data < 0) {
        error = -*data;
        munmap(swap, sizeof *swap);
        swap = NULL;
    }
    errno = error;
    return swap;
}

unsigned gs_swap_pool_free_units(const struct gs_swap_pool *swap)
{
    unsigned count = __atomic_load_n(&swap->count, __ATOMIC_RELAXED), free = 0;
    for (unsigned i = 0; i < count && count <= GS_SWAP_POOL_UNITS; i++)
        free += __atomic_load_n(&swap->owner[i].owner, __ATOMIC_RELAXED) == 0;
    return free;
}

/* This process as an owner; read from /proc once, because a suspension takes hundreds of units. */
static const struct gs_swap_pool_unit *caller(void)
{
    static struct gs_swap_pool_unit me;
    uint32_t pid = (uint32_t)getpid();
    if ((uint32_t)me.owner != pid)
        me = (struct gs_swap_pool_unit){(uint64_t)gs_process_namespace() << 32 | pid,
                                        gs_process_start(getpid())};
    return &me;
}

bool gs_swap_pool_take(struct gs_swap_pool *swap, unsigned unit)
{
    uint64_t none = 0;
    struct gs_swap_pool_unit *at = &swap->owner[unit];
    if (__atomic_load_n(&at->owner, __ATOMIC_RELAXED)
        || !__atomic_compare_exchange_n(&at->owner, &none, caller()->owner, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        return false;
    __atomic_store_n(&at->start, caller()->start, __ATOMIC_RELEASE);
    return true;
}

void gs_swap_pool_give(struct gs_swap_pool *swap, unsigned unit)
{
    __atomic_store_n(&swap->owner[unit].start, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&swap->owner[unit].owner, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&swap->returning_ns, gs_now(), __ATOMIC_RELAXED);
    __atomic_add_fetch(&swap->given, 1, __ATOMIC_SEQ_CST);
}

void gs_swap_pool_forget_own(struct gs_swap_pool *swap)
{
    for (unsigned unit = 0; unit < GS_SWAP_POOL_UNITS; unit++)
        if (__atomic_load_n(&swap->owner[unit].owner, __ATOMIC_RELAXED) == caller()->owner)
            gs_swap_pool_give(swap, unit);
}
