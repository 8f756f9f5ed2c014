/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real library sets the time slice of a new context's channel group
 * (NVA06C_CTRL_CMD_SET_TIMESLICE, 2048 µs with driver 580). The simulation sends the same ioctl to
 * a file that ignores it.
 */
#include "cuda/context/channel_group.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cuda/core/context.h"
#include "cuda/core/mps_client.h"

enum { TIMESLICE_US = 2048, SET_TIMESLICE = 0xa06c0103 };

struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters;
    uint32_t size, status;
};

static int kernel_module(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd;
}

void gs_channel_group_new(CUcontext ctx)
{
    uint64_t us = TIMESLICE_US;
    struct control control = {.client = 0xc1d00001,
                              .object = 0x5c000000 + (uint32_t)ctx->id,
                              .command = SET_TIMESLICE,
                              .parameters = (uintptr_t)&us,
                              .size = sizeof us};
    if (!gs_mps_self())
        ioctl(kernel_module(), _IOWR('F', 0x2a, struct control), &control);
}
