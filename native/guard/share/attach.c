/* SPDX-License-Identifier: Apache-2.0 */
#include "share/attach.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/life.h"
#include "base/log.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct gs_region *region;
static int slot = -1;
static uint64_t life; /* in the region; 0: not begun, as in the child of a fork */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_uuid(const char *name, unsigned char uuid[16])
{
    const char *at = strchr(name, '-');
    int digits = 0;
    for (; at && *at && digits < 32; at++) {
        if (digit(*at) < 0)
            continue;
        uuid[digits / 2] = (unsigned char)(uuid[digits / 2] << 4 | digit(*at));
        digits++;
    }
    return digits == 32;
}

static void open_region(void)
{
    int kept_errno = errno;
    const char *path = getenv("GPUSHARE_REGION");
    struct gs_region *mapped = path && *path ? gs_region_map(path) : NULL;
    if (path && *path && !mapped)
        gs_log("cannot map the region %s: %s; this process finds no GPU", path, strerror(errno));
    if (mapped) {
        unsigned char uuid[16] = {0};
        for (uint32_t g = 0; g < mapped->gpu_count; g++)
            if (!parse_uuid(mapped->gpu[g].uuid, uuid))
                gs_log("the region has %s where a GPU UUID belongs", mapped->gpu[g].uuid);
        /* Now, because the program may give up its rights to the file later. */
        life = gs_life_begin(mapped);
        region = mapped;
        gs_region_opened(mapped);
    }
    errno = kept_errno;
}

bool gs_active(void)
{
    pthread_once(&once, open_region);
    return region != NULL;
}

struct gs_region *gs_shared_region(void)
{
    return gs_active() ? region : NULL;
}

struct gs_region_slot *gs_shared_slot(void)
{
    int mine = __atomic_load_n(&slot, __ATOMIC_ACQUIRE);
    return mine < 0 ? NULL : &region->slot[mine];
}

/* Read each time: the share may have migrated. */
int gs_gpu_by_uuid(const unsigned char uuid[16])
{
    unsigned char here[16] = {0};
    for (uint32_t g = 0; gs_active() && g < region->gpu_count; g++)
        if (parse_uuid(region->gpu[g].uuid, here) && memcmp(here, uuid, 16) == 0)
            return (int)g;
    return -1;
}

int gs_gpu_by_name(const char *name)
{
    unsigned char uuid[16] = {0};
    return parse_uuid(name, uuid) ? gs_gpu_by_uuid(uuid) : -1;
}

uint64_t gs_context_bytes(int gpu)
{
    return __atomic_load_n(&region->gpu[gpu].context, __ATOMIC_RELAXED);
}

bool gs_attach_join(void)
{
    if (slot >= 0)
        return true;
    if (!life)
        life = gs_life_begin(region);
    if (!life)
        gs_log(
            "cannot lock a byte of the region: %s; only processes that see its pid know when this "
            "process has ended",
            strerror(errno));
    __atomic_store_n(&slot, gs_region_join(region, life), __ATOMIC_RELEASE);
    if (slot < 0)
        gs_log("all slots of the region are in use; this process cannot allocate GPU memory");
    return slot >= 0;
}

void gs_attach_sweep(void)
{
    gs_region_sweep(region, life);
}

int gs_attach_slot(void)
{
    return slot;
}

void gs_count_unlisted(void)
{
    __atomic_add_fetch(&region->unlisted, 1, __ATOMIC_RELAXED);
}

void gs_count_unhooked(const char *symbol)
{
    gs_log("%s: the driver returned a version that the guard does not know", symbol);
    __atomic_add_fetch(&region->unhooked, 1, __ATOMIC_RELAXED);
}

void gs_attach_forget(void)
{
    slot = -1;
    life = 0;
}
