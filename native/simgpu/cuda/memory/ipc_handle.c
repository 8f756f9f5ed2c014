/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/ipc_handle.h"
#include "machine/process.h"

#include <fcntl.h>
#include <unistd.h>

enum { MAGIC = 0x43504947 };

gs_ipc_handle gs_ipc_handle_of(int fd, int device)
{
    return (gs_ipc_handle){.magic = MAGIC,
                           .pid = getpid(),
                           .fd = fd,
                           .device = device,
                           .start_time = sim.slot->start_time};
}

bool gs_ipc_handle_read(gs_ipc_handle *handle, const void *bytes)
{
    memcpy(handle, bytes, sizeof *handle);
    return handle->magic == MAGIC;
}

int gs_ipc_handle_open(const gs_ipc_handle *handle)
{
    char path[64];
    if (gs_process_start(handle->pid) != handle->start_time)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", handle->pid, handle->fd);
    return open(path, O_RDWR | O_CLOEXEC);
}
