/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second preloaded library, after the guard. It replaces the driver's kernel module for requests
 * of timeslices and writes them to the file GS_SLICES: "pid group microseconds". It refuses one
 * microsecond. Requests of compute preemption modes go to the file GS_MODES, if there is one: "pid
 * channel mode"; GS_REFUSE refuses them.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters;
    uint32_t size, status;
};

struct preemption {
    uint32_t flags, channel, graphics, compute;
};

static void note(const char *path, uint32_t object, uint64_t value)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(file, "%d %u %llu\n", getpid(), object, (unsigned long long)value);
    close(file);
}

static int set_timeslice(struct control *control)
{
    uint64_t us = *(const uint64_t *)(uintptr_t)control->parameters;
    control->status = us == 1 ? 0x1b : 0;
    note(getenv("GS_SLICES"), control->object, us);
    return 0;
}

static int set_preemption(struct control *control)
{
    const struct preemption *mode = (const void *)(uintptr_t)control->parameters;
    control->status = getenv("GS_REFUSE") ? 0x1b : 0;
    if (getenv("GS_MODES") && mode->flags == 1)
        note(getenv("GS_MODES"), mode->channel, mode->compute);
    return 0;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    va_list rest;
    va_start(rest, request);
    struct control *control = va_arg(rest, struct control *);
    va_end(rest);
    if (_IOC_TYPE(request) == 'F' && _IOC_NR(request) == 0x2b)
        return 0;
    if (request != _IOWR('F', 0x2a, struct control))
        return -1;
    if (control->command == 0xa06c0103)
        return set_timeslice(control);
    return control->command == 0x20801210 ? set_preemption(control) : -1;
}
