/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host pool as files: created, sized, prefaulted and swept by the daemon. The files belong to
 * the user, who could truncate them, so the table is read and written, never mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/export.h"
#include "base/life.h"
#include "share/prefault.h"
#include "share/swap_pool.h"

#define STEP (1ull << 30) /* of prefaulting */

enum { HEADER = offsetof(struct gs_swap_pool, owner) };

struct pool {
    int table, data;
    struct gs_swap_pool *copy; /* the table as it was read */
};

static void leave(struct pool *pool)
{
    free(pool->copy);
    if (pool->table >= 0)
        close(pool->table);
    if (pool->data >= 0)
        close(pool->data);
}

static int read_table(struct pool *pool)
{
    if (!pool->copy)
        pool->copy = calloc(1, sizeof *pool->copy);
    if (!pool->copy)
        return -ENOMEM;
    bool whole =
        pread(pool->table, pool->copy, sizeof *pool->copy, 0) == (ssize_t)sizeof *pool->copy;
    return whole && gs_swap_pool_sound(pool->copy) ? 0 : -EBADMSG;
}

/* 0, or a negative errno with nothing left open. */
static int enter(const char *folder, struct pool *pool)
{
    *pool = (struct pool){.table = gs_swap_pool_open(folder, "table", 0, 0), .data = -1};
    int result = pool->table < 0 ? pool->table : read_table(pool);
    if (result == 0)
        result = pool->data = gs_swap_pool_open(folder, "data", 0, 0);
    if (result < 0)
        leave(pool);
    return result < 0 ? result : 0;
}

#define WRITE(pool, field, value)                                                                \
    (pwrite((pool)->table, &(__typeof__((pool)->copy->field)){value}, sizeof(pool)->copy->field, \
            offsetof(struct gs_swap_pool, field))                                                \
     == (ssize_t)sizeof(pool)->copy->field)

static int fill(int table, uint64_t unit)
{
    struct gs_swap_pool header = {.magic = GS_SWAP_POOL_MAGIC,
                                  .version = GS_SWAP_POOL_VERSION,
                                  .header_size = HEADER,
                                  .unit = unit};
    /* Reserved now: a full file system must fail here, not as SIGBUS inside a program. */
    int error = posix_fallocate(table, 0, sizeof header);
    if (error)
        return -error;
    return pwrite(table, &header, HEADER, 0) == HEADER ? 0 : -EIO;
}

static int make(const char *folder, uint64_t unit)
{
    int data = gs_swap_pool_open(folder, "data", O_CREAT, 0);
    if (data < 0)
        return data;
    int table = gs_swap_pool_open(folder, "table", O_CREAT, 0);
    int result = table < 0 ? table : fill(table, unit);
    if (table >= 0)
        close(table);
    close(data);
    return result;
}

GS_EXPORT int gpushare_swap_pool_create(const char *folder, uint64_t bytes, uint64_t unit)
{
    struct pool existing;
    if (!unit || unit % 4096)
        return -EINVAL;
    int result = enter(folder, &existing);
    if (result == 0)
        leave(&existing);
    else if (result == -ENOENT)
        result = make(folder, unit);
    return result < 0 ? result : gpushare_swap_pool_enable(folder, bytes);
}

/* Frees the pages of free units; those of other units are freed with the unit. */
static int shrink(const struct pool *pool, uint32_t units)
{
    uint64_t unit = pool->copy->unit;
    for (uint32_t i = units; i < pool->copy->count; i++)
        if (!pool->copy->owner[i].owner)
            fallocate(pool->data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(i * unit),
                      (off_t)unit);
    return pool->copy->ready <= units || WRITE(pool, ready, units) ? 0 : -EIO;
}

static int resize(const struct pool *pool, uint64_t units)
{
    off_t size = (off_t)(units * pool->copy->unit);
    if (units > GS_SWAP_POOL_UNITS)
        return -ENOSPC;
    /* The file never shrinks: a process may be about to use a unit that it has mapped. */
    if (lseek(pool->data, 0, SEEK_END) < size && ftruncate(pool->data, size) < 0)
        return -errno;
    if (!WRITE(pool, count, (uint32_t)units))
        return -EIO;
    return shrink(pool, (uint32_t)units);
}

GS_EXPORT int gpushare_swap_pool_enable(const char *folder, uint64_t bytes)
{
    struct pool pool;
    int result = enter(folder, &pool);
    if (result < 0)
        return result;
    result = resize(&pool, bytes / pool.copy->unit);
    leave(&pool);
    return result;
}

static int prefault(const struct pool *pool, uint64_t until, unsigned threads)
{
    uint64_t unit = pool->copy->unit, from = pool->copy->ready;
    size_t bytes = (until - from) * unit;
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool->data, (off_t)(from * unit));
    if (at == MAP_FAILED)
        return -errno;
    madvise(at, bytes, MADV_HUGEPAGE);
    int error = gs_prefault(at, bytes, pool->data, (off_t)(from * unit), threads);
    munmap(at, bytes);
    if (error)
        return -error;
    return WRITE(pool, ready, (uint32_t)until) ? 0 : -EIO;
}

/* The number of units that are ready after the next step towards `bytes`. */
static uint64_t next_ready(const struct gs_swap_pool *pool, uint64_t bytes)
{
    uint64_t next = pool->ready + (STEP > pool->unit ? STEP / pool->unit : 1);
    uint64_t most = bytes / pool->unit < pool->count ? bytes / pool->unit : pool->count;
    return next < most ? next : most;
}

/* In steps, so that programs register the first units while the others are being made. */
GS_EXPORT int64_t gpushare_swap_pool_prefault(const char *folder, uint64_t bytes, unsigned threads)
{
    struct pool pool;
    int result = enter(folder, &pool);
    if (result < 0)
        return result;
    while (result == 0 && next_ready(pool.copy, bytes) > pool.copy->ready)
        if ((result = prefault(&pool, next_ready(pool.copy, bytes), threads)) == 0)
            result = read_table(&pool);
    int64_t ready = (int64_t)(pool.copy->ready * pool.copy->unit);
    leave(&pool);
    return result < 0 ? result : ready;
}

/* Held until the table is closed. */
static bool is_only_reaper(int table)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(table, F_OFD_SETLK, &lock) == 0;
}

static int reap(const struct pool *pool)
{
    static const struct gs_swap_pool_unit none;
    uint64_t living = 0; /* neighbouring units mostly have one owner */
    int freed = 0;
    for (size_t i = 0; i < GS_SWAP_POOL_UNITS; i++) {
        uint64_t owner = pool->copy->owner[i].owner;
        if (!owner || owner == living)
            continue;
        if (!gs_life_ended(pool->table, owner))
            living = owner;
        else
            freed += pwrite(pool->table, &none, sizeof none, (off_t)(HEADER + i * sizeof none)) > 0;
    }
    return !freed || WRITE(pool, given, pool->copy->given + 1) ? freed : -EIO;
}

GS_EXPORT int gpushare_swap_pool_reap(const char *folder)
{
    struct pool pool;
    int result = enter(folder, &pool);
    if (result < 0)
        return result;
    if (is_only_reaper(pool.table) && (result = read_table(&pool)) == 0)
        result = reap(&pool);
    leave(&pool);
    return result;
}

GS_EXPORT int gpushare_swap_pool_info(const char *folder, struct gpushare_swap_pool_info *info)
{
    struct pool pool;
    int result = enter(folder, &pool);
    if (result < 0)
        return result;
    const struct gs_swap_pool *copy = pool.copy;
    *info = (struct gpushare_swap_pool_info){copy->unit, copy->count * copy->unit,
                                             copy->ready * copy->unit, 0};
    for (size_t i = 0; i < GS_SWAP_POOL_UNITS; i++)
        info->taken += copy->owner[i].owner ? copy->unit : 0;
    leave(&pool);
    return 0;
}
