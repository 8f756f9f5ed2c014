/* SPDX-License-Identifier: Apache-2.0 */
#include "around/rm_control.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum { OBJECTS = 64, ALLOC = 0x2b, CONTROL = 0x2a, CHANNEL_CLASS = 0x6f };

/*
 * NVOS54_PARAMETERS and the beginning of NVOS21 and NVOS64_PARAMETERS of the open kernel modules;
 * ctrla06c.h and ctrl2080gr.h have the commands. A class whose number ends in 6f is a channel
 * (KEPLER_CHANNEL_GPFIFO_A and later).
 */
struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters;
    uint32_t size, status;
};
static_assert(sizeof(struct control) == 32, "the layout of the kernel module");

struct allocation {
    uint32_t client, parent, object, class;
};

struct preemption {
    uint32_t flags, channel, graphics, compute;
    uint64_t route[2];
};
static_assert(sizeof(struct preemption) == 32, "the layout of the kernel module");

#define RM_CONTROL _IOWR('F', CONTROL, struct control)
#define SET_TIMESLICE 0xa06c0103u
#define SET_PREEMPTION_MODE 0x20801210u
#define SUBDEVICE 0x2080u
#define LONG_US 100000ull
#define COMPUTE_MODE_VALID 1u
#define WFI 0u

struct object {
    int fd;
    uint32_t client, handle;
};

static struct objects {
    struct object list[OBJECTS];
    unsigned count;
} groups, channels, subdevices;

typedef int next_ioctl(int fd, unsigned long request, ...);

static next_ioctl *next(void)
{
    static next_ioctl *resolved;
    if (!resolved)
        *(void **)&resolved = dlsym(RTLD_NEXT, "ioctl");
    return resolved;
}

static void add(struct objects *to, int fd, uint32_t client, uint32_t handle)
{
    if (to->count < OBJECTS)
        to->list[to->count++] = (struct object){fd, client, handle};
}

static void see_allocation(int fd, const struct allocation *allocation)
{
    if (allocation->class == SUBDEVICE)
        add(&subdevices, fd, allocation->client, allocation->object);
    if ((allocation->class & 0xff) == CHANNEL_CLASS)
        add(&channels, fd, allocation->client, allocation->object);
}

/* The executable comes first in the order of symbols, so the driver's library calls this. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int result = next()(fd, request, argument);
    if (result != 0 || _IOC_TYPE(request) != 'F' || !argument)
        return result;
    const struct control *control = argument;
    if (request == RM_CONTROL && control->command == SET_TIMESLICE)
        add(&groups, fd, control->client, control->object);
    else if (_IOC_NR(request) == ALLOC && _IOC_SIZE(request) >= sizeof(struct allocation))
        see_allocation(fd, argument);
    return result;
}

static bool accepted(const struct object *object, uint32_t command, void *parameters, uint32_t size)
{
    struct control control = {object->client,        object->handle, command, 0,
                              (uintptr_t)parameters, size,           0};
    return next()(object->fd, RM_CONTROL, &control) == 0 && control.status == 0;
}

static const char *answer(const struct objects *objects, unsigned done)
{
    if (!objects->count)
        return "this program has no channel group of its own";
    return done ? "" : "the driver refuses it";
}

const char *rm_set_long_timeslice(void)
{
    unsigned done = 0;
    uint64_t us = LONG_US;
    for (unsigned i = 0; i < groups.count; i++)
        done += accepted(&groups.list[i], SET_TIMESLICE, &us, sizeof us);
    return answer(&groups, done);
}

static const struct object *subdevice_of(const struct object *channel)
{
    for (unsigned i = 0; i < subdevices.count; i++)
        if (subdevices.list[i].client == channel->client)
            return &subdevices.list[i];
    return NULL;
}

const char *rm_set_wfi_preemption(void)
{
    unsigned done = 0;
    for (unsigned i = 0; i < channels.count; i++) {
        const struct object *subdevice = subdevice_of(&channels.list[i]);
        struct preemption mode = {COMPUTE_MODE_VALID, channels.list[i].handle, 0, WFI, {0, 0}};
        done += subdevice && accepted(subdevice, SET_PREEMPTION_MODE, &mode, sizeof mode);
    }
    return answer(&channels, done);
}
