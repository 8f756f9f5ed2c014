/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real library allocates a channel in a channel group for a new context, and sets the time
 * slice of the group (NVA06C_CTRL_CMD_SET_TIMESLICE, 2048 µs with driver 580). The simulation sends
 * the same ioctls to a file that ignores them.
 */
#include "cuda/context/channel_group.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cuda/core/context.h"
#include "cuda/core/mps_client.h"

enum { TIMESLICE_US = 2048, SET_TIMESLICE = 0xa06c0103, CLIENT = 0xc1d00001 };
enum { SUBDEVICE = 0x2080, CHANNEL = 0xc86f }; /* NV20_SUBDEVICE_0, HOPPER_CHANNEL_GPFIFO_A */

struct control {
    uint32_t client, object, command, flags;
    uint64_t parameters;
    uint32_t size, status;
};

/* NVOS21_PARAMETERS */
struct allocation {
    uint32_t client, parent, object, class;
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

static void allocate(uint32_t parent, uint32_t object, uint32_t class)
{
    struct allocation allocation = {CLIENT, parent, object, class, 0, 0, 0};
    ioctl(kernel_module(), _IOWR('F', 0x2b, struct allocation), &allocation);
}

static void allocate_channel(uint32_t group, uint32_t id)
{
    allocate(0x5c000000, 0x2080, SUBDEVICE);
    allocate(group, 0x6f000000 + id, CHANNEL);
}

void gs_channel_group_new(CUcontext ctx)
{
    uint64_t us = TIMESLICE_US;
    uint32_t group = 0x5c000000 + (uint32_t)ctx->id;
    struct control control = {.client = CLIENT,
                              .object = group,
                              .command = SET_TIMESLICE,
                              .parameters = (uintptr_t)&us,
                              .size = sizeof us};
    if (gs_mps_self())
        return;
    allocate_channel(group, (uint32_t)ctx->id);
    ioctl(kernel_module(), _IOWR('F', 0x2a, struct control), &control);
}
