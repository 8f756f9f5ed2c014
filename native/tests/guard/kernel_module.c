/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second preloaded library, after the guard. It replaces the driver's kernel module for requests
 * of timeslices and writes them to the file GS_SLICES: "pid group microseconds". It refuses one
 * microsecond.
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

static void note(uint32_t object, uint64_t us)
{
    int file = open(getenv("GS_SLICES"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(file, "%d %u %llu\n", getpid(), object, (unsigned long long)us);
    close(file);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    va_list rest;
    va_start(rest, request);
    struct control *control = va_arg(rest, struct control *);
    va_end(rest);
    if (request != _IOWR('F', 0x2a, struct control) || control->command != 0xa06c0103)
        return -1;
    uint64_t us = *(const uint64_t *)(uintptr_t)control->parameters;
    control->status = us == 1 ? 0x1b : 0;
    note(control->object, us);
    return 0;
}
