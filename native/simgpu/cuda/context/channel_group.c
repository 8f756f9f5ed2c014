/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the real library says to its kernel module about a new context's channel group: how long a time slice is to be
 * (NVA06C_CTRL_CMD_SET_TIMESLICE, 2048 µs with driver 580). Here nobody hears it but libraries that stand in between.
 */
#include "cuda/context/channel_group.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cuda/core/sim.h"

enum { SLICE_US = 2048, SET_TIMESLICE = 0xa06c0103 };

struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters;
    uint32_t size, status;
};

/* The descriptor stays: what is said later of the group is said there. */
static int kernel_module(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd;
}

void gs_group_made(CUcontext ctx)
{
    uint64_t us = SLICE_US;
    struct control control = {.client = 0xc1d00001, .object = 0x5c000000 + (uint32_t)ctx->id, .command = SET_TIMESLICE,
                              .parameters = (uintptr_t)&us, .size = sizeof us};
    if (!gs_mps_me())
        ioctl(kernel_module(), _IOWR('F', 0x2a, struct control), &control);
}
