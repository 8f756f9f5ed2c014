/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/stream/event_clock.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

CUresult gs_event_map(CUevent event, int fd)
{
    event->clock_fd = fd;
    event->time = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (event->time != MAP_FAILED)
        return CUDA_SUCCESS;
    close(fd);
    event->clock_fd = -1;
    event->time = &event->own_time;
    return CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult gs_event_share(CUevent event)
{
    int fd = (int)syscall(SYS_memfd_create, "simgpu-event", 1u /* MFD_CLOEXEC */);
    CHECK(fd >= 0 && ftruncate(fd, sizeof(uint64_t)) == 0, CUDA_ERROR_OPERATING_SYSTEM);
    return gs_event_map(event, fd);
}

void gs_event_unshare(CUevent event)
{
    if (event->clock_fd < 0)
        return;
    munmap(event->time, sizeof(uint64_t));
    close(event->clock_fd);
}
