/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/store/host_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "share/prefault.h"
#include "driver/real.h"
#include "share/swap_pool.h"

#define OWN_UNIT (32ull << 20)
#define HUGE_PAGE (2ull << 20)
#define RECENT 3000000000ull /* ns */

enum { PREFAULT_THREADS = 8 };

struct mapped {
    unsigned char *at;
    bool registered;
};

static struct gs_swap_pool *pool;
static int data = -1;
static uint64_t life; /* of this process in the pool */
static struct mapped *mapped; /* per unit of the pool */
static unsigned registered_units;
static unsigned next[2]; /* first candidate for a free unit: not registered, registered */
static bool opened, broken; /* broken: the named pool cannot be used */

static struct gs_swap_pool *named(void)
{
    const char *folder = getenv("GPUSHARE_SWAP");
    if (opened || !folder || !*folder)
        return pool;
    opened = true;
    mapped = calloc(GS_SWAP_POOL_UNITS, sizeof *mapped);
    pool = mapped ? gs_swap_pool_map(folder, &data, &life) : NULL;
    broken = !pool;
    if (!pool)
        gs_log("cannot use the host pool %s: %s; this process cannot be suspended", folder,
               strerror(errno));
    return pool;
}

uint64_t gs_host_pool_unit(void)
{
    return named() ? pool->unit : OWN_UNIT;
}

static unsigned char *map_unit(unsigned unit)
{
    if (mapped[unit].at)
        return mapped[unit].at;
    void *at = mmap(NULL, pool->unit, PROT_READ | PROT_WRITE, MAP_SHARED, data,
                    (off_t)(unit * pool->unit));
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, pool->unit, MADV_HUGEPAGE);
    madvise(at, pool->unit, MADV_DONTFORK);
    return mapped[unit].at = at;
}

static bool ready(unsigned unit, unsigned char *at)
{
    return mapped[unit].registered || unit < __atomic_load_n(&pool->ready, __ATOMIC_RELAXED)
           || gs_prefault(at, pool->unit, data, (off_t)(unit * pool->unit), PREFAULT_THREADS) == 0;
}

/* The lowest free unit, so that short-lived processes use the same ones; -1 when there is none. */
static int find_free(bool registered)
{
    unsigned count = __atomic_load_n(&pool->count, __ATOMIC_RELAXED);
    if (registered && !registered_units)
        return -1;
    for (unsigned unit = next[registered]; unit < count && unit < GS_SWAP_POOL_UNITS; unit++)
        if (mapped[unit].registered == registered && gs_swap_pool_take(pool, unit, life)) {
            next[registered] = unit + 1;
            return (int)unit;
        }
    next[registered] = 0; /* other processes free units too */
    return -1;
}

static bool take_from_pool(struct gs_host_unit *host)
{
    int unit = find_free(true);
    if (unit < 0)
        unit = find_free(false);
    if (unit < 0)
        return false;
    unsigned char *at = map_unit((unsigned)unit);
    if (at && ready((unsigned)unit, at)) {
        *host =
            (struct gs_host_unit){.at = at, .unit = unit, .registered = mapped[unit].registered};
        return true;
    }
    gs_swap_pool_give(pool, (unsigned)unit);
    return false;
}

/* Aligned for huge pages, which make prefaulting and registering cheap. */
static unsigned char *map_own(void)
{
    unsigned char *at = mmap(NULL, OWN_UNIT + HUGE_PAGE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t head = (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE;
    if (head)
        munmap(at, head);
    munmap(at + head + OWN_UNIT, HUGE_PAGE - head);
    madvise(at + head, OWN_UNIT, MADV_HUGEPAGE);
    madvise(at + head, OWN_UNIT, MADV_DONTFORK);
    return at + head;
}

static bool take_own(struct gs_host_unit *host)
{
    unsigned char *at = broken ? NULL : map_own();
    if (!at)
        return false;
    *host = (struct gs_host_unit){.at = at, .unit = -1};
    if (gs_prefault(at, OWN_UNIT, -1, 0, PREFAULT_THREADS) == 0)
        return true;
    munmap(at, OWN_UNIT);
    return false;
}

bool gs_host_pool_take(struct gs_host_unit *host)
{
    return named() ? take_from_pool(host) : take_own(host);
}

static void unregister(unsigned char *at)
{
    cuda()->cuMemHostUnregister(at);
    registered_units--;
}

/* For a unit beyond the size of a pool that has shrunk. */
static void discard(unsigned unit)
{
    if (mapped[unit].registered)
        unregister(mapped[unit].at);
    munmap(mapped[unit].at, pool->unit);
    mapped[unit] = (struct mapped){0};
    fallocate(data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(unit * pool->unit),
              (off_t)pool->unit);
}

void gs_host_pool_give(struct gs_host_unit *host)
{
    if (!host->at)
        return;
    if (host->unit >= 0) {
        if ((unsigned)host->unit >= __atomic_load_n(&pool->count, __ATOMIC_RELAXED))
            discard((unsigned)host->unit);
        gs_swap_pool_give(pool, (unsigned)host->unit);
        next[false] = next[true] = 0;
    } else {
        if (host->registered)
            unregister(host->at);
        munmap(host->at, OWN_UNIT);
    }
    *host = (struct gs_host_unit){0};
}

static bool registered(unsigned char *at)
{
    CUresult result =
        cuda()->cuMemHostRegister_v2(at, gs_host_pool_unit(), CU_MEMHOSTREGISTER_PORTABLE);
    registered_units += result == CUDA_SUCCESS;
    return result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}

void gs_host_pool_register(struct gs_host_unit *host)
{
    if (host->registered)
        return;
    host->registered = registered(host->at);
    if (host->unit >= 0)
        mapped[host->unit].registered = host->registered;
}

/* Depends on the process, so that processes that are suspended together find different units. */
static unsigned first_ahead(unsigned end)
{
    return (unsigned)((uint64_t)(unsigned)getpid() * 2654435761u % end);
}

bool gs_host_pool_register_ahead(uint64_t bytes)
{
    if (!named() || registered_units * pool->unit >= bytes)
        return false;
    unsigned end = __atomic_load_n(&pool->ready, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < end; i++) {
        unsigned unit = (first_ahead(end) + i) % end;
        if (mapped[unit].registered || !map_unit(unit))
            continue;
        return mapped[unit].registered = registered(mapped[unit].at);
    }
    return false;
}

void gs_host_pool_unregistered(void)
{
    registered_units = 0;
    for (unsigned unit = 0; mapped && unit < GS_SWAP_POOL_UNITS; unit++)
        mapped[unit].registered = false;
}

uint64_t gs_host_pool_registered(void)
{
    return registered_units * gs_host_pool_unit();
}

bool gs_host_pool_is_own(void)
{
    return !named() && !broken;
}

uint64_t gs_host_pool_left(void)
{
    struct sysinfo machine;
    if (named())
        return gs_swap_pool_free_units(pool) * pool->unit;
    return broken || sysinfo(&machine) < 0
               ? 0
               : (machine.freeram + machine.bufferram) * (uint64_t)machine.mem_unit;
}

uint64_t gs_host_pool_most(void)
{
    if (named())
        return __atomic_load_n(&pool->count, __ATOMIC_RELAXED) * pool->unit;
    return broken ? 0 : UINT64_MAX;
}

bool gs_host_pool_scarce(void)
{
    return named() && gs_host_pool_left() < gs_host_pool_most() / 2;
}

uint32_t gs_host_pool_given(void)
{
    return named() ? __atomic_load_n(&pool->given, __ATOMIC_SEQ_CST) : 0;
}

void gs_host_pool_returns(void)
{
    if (named())
        __atomic_store_n(&pool->returning_ns, gs_now(), __ATOMIC_SEQ_CST);
}

bool gs_host_pool_someone_returns(void)
{
    return named() && gs_now() - __atomic_load_n(&pool->returning_ns, __ATOMIC_SEQ_CST) < RECENT;
}

void gs_host_pool_forget(void)
{
    if (pool) {
        gs_swap_pool_unmap(pool);
        close(data);
    }
    pool = NULL;
    mapped = NULL; /* not freed: its state is unknown in the child */
    opened = broken = false;
    registered_units = next[false] = next[true] = 0;
    data = -1;
}
