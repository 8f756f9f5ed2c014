/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/channel_group.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/elf.h"
#include "base/export.h"
#include "base/log.h"
#include "share/attach.h"
#include "share/gpu_page.h"

enum { CHANNEL_GROUPS = 64, UNKNOWN = -2 };

/* NVOS54_PARAMETERS of the open kernel modules. */
struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters; /* an address */
    uint32_t size, status;
};
static_assert(sizeof(struct control) == 32, "the layout of the kernel module");

#define RM_CONTROL _IOWR('F', 0x2a, struct control)
#define SET_TIMESLICE 0xa06c0103u

struct channel_group {
    int fd;
    dev_t device; /* of the descriptor, which programs may close and reuse */
    uint32_t client, object;
    int gpu;
    uint64_t own, now; /* microseconds */
};

typedef int gs_ioctl(int fd, unsigned long request, ...);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct channel_group channel_groups[CHANNEL_GROUPS];
static unsigned group_count; /* atomic */
static uint32_t requested[GS_GPUS];
static bool stale[GS_GPUS]; /* atomic: a group was added after the request */
static __thread int creating_on = UNKNOWN;

static gs_ioctl *next_ioctl(void)
{
    static void *resolved;
    void *next = __atomic_load_n(&resolved, __ATOMIC_RELAXED);
    if (!next) {
        next = gs_next_definition("ioctl");
        __atomic_store_n(&resolved, next, __ATOMIC_RELAXED);
    }
    return (gs_ioctl *)next;
}

static dev_t device_of(int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && S_ISCHR(file.st_mode) ? file.st_rdev : 0;
}

void gs_channel_groups_begin(int gpu)
{
    creating_on = gpu;
}

void gs_channel_groups_end(void)
{
    creating_on = UNKNOWN;
}

static int gpu_of_context(void)
{
    const struct gs_region *region = creating_on == UNKNOWN ? gs_shared_region() : NULL;
    return region && region->gpu_count == 1 ? 0 : creating_on;
}

/*
 * A full table loses the oldest group, whose context is the most likely to have ended. Needs the
 * lock.
 */
static struct channel_group *place_for(uint32_t client, uint32_t object)
{
    for (unsigned i = 0; i < group_count; i++)
        if (channel_groups[i].client == client && channel_groups[i].object == object)
            return &channel_groups[i];
    if (group_count == CHANNEL_GROUPS)
        memmove(&channel_groups[0], &channel_groups[1],
                (CHANNEL_GROUPS - 1) * sizeof *channel_groups);
    else
        __atomic_store_n(&group_count, group_count + 1, __ATOMIC_RELAXED);
    return &channel_groups[group_count - 1];
}

static void record(int fd, const struct control *control)
{
    int gpu = gpu_of_context();
    uint64_t us;
    if (gpu < 0)
        return;
    memcpy(&us, (const void *)(uintptr_t)control->parameters, sizeof us);
    pthread_mutex_lock(&lock);
    *place_for(control->client, control->object) =
        (struct channel_group){fd, device_of(fd), control->client, control->object, gpu, us, us};
    __atomic_store_n(&stale[gpu], true, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

static bool sets_timeslice(const struct control *control)
{
    return control->command == SET_TIMESLICE && control->status == 0
           && control->size == sizeof(uint64_t) && control->parameters;
}

GS_EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int result = next_ioctl()(fd, request, argument);
    if (request == RM_CONTROL && result == 0 && sets_timeslice(argument)) {
        int kept_errno = errno;
        record(fd, argument);
        errno = kept_errno;
    }
    return result;
}

/* False: the group has ended, or the kernel module refused. */
static bool change(struct channel_group *group, uint64_t us)
{
    struct control control = {
        group->client, group->object, SET_TIMESLICE, 0, (uintptr_t)&us, sizeof us, 0};
    if (device_of(group->fd) != group->device || next_ioctl()(group->fd, RM_CONTROL, &control) != 0)
        return false;
    if (control.status)
        gs_log("a timeslice of %llu us was refused (status %#x)", (unsigned long long)us,
               control.status);
    group->now = us;
    return control.status == 0;
}

/* Needs the lock. */
static void apply(int gpu, uint32_t us)
{
    for (unsigned i = 0; i < group_count;) {
        struct channel_group *group = &channel_groups[i];
        uint64_t value = us ? us : group->own;
        if (group->gpu != gpu || group->now == value || change(group, value))
            i++;
        else
            *group = channel_groups[__atomic_sub_fetch(&group_count, 1, __ATOMIC_RELAXED)];
    }
}

void gs_channel_groups_set_timeslice(int gpu, uint32_t us)
{
    if (!GS_READ(group_count) || (GS_READ(requested[gpu]) == us && !GS_READ(stale[gpu])))
        return;
    int kept_errno = errno;
    pthread_mutex_lock(&lock);
    GS_WRITE(stale[gpu], false);
    GS_WRITE(requested[gpu], us);
    apply(gpu, us);
    pthread_mutex_unlock(&lock);
    errno = kept_errno;
}

uint32_t gs_channel_groups_timeslice(int gpu)
{
    return GS_READ(group_count) ? GS_READ(requested[gpu]) : 0;
}

/* The groups belong to the parent. */
void gs_channel_groups_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    group_count = 0;
    memset(requested, 0, sizeof requested);
    creating_on = UNKNOWN;
}

__attribute__((constructor)) static void start(void)
{
    next_ioctl();
}
