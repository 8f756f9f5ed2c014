/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/fault.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "machine/slot.h"

void gs_device_note_xid(gs_image *image, int device, pid_t pid, uint32_t xid)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    image->xid_seq++;
    image->xids[image->xid_seq % GS_MAX_XIDS] =
        (gs_xid){.seq = image->xid_seq,
                 .device = device,
                 .pid = pid,
                 .xid = xid,
                 .time_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec};
    syscall(SYS_futex, &image->xid_seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); /* nvml/event.c */
}

/* A fault of one MPS client is fatal to all clients of its server. */
static void spread_to_clients(gs_image *image, int device, const gs_slot *slot)
{
    if (!slot || slot->mps_client < 0)
        return;
    int server = image->clients[slot->mps_client].server;
    gs_mps_server *home = &image->servers[server];
    home->state = GS_MPS_FAULT;
    home->fault_seq++;
    home->fault_devices |= 1ull << device;
    home->fault_pid = image->clients[slot->mps_client].pid;
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (image->clients[i].pid && image->clients[i].server == server)
            image->clients[i].faulted = true;
}

void gs_device_fault(gs_image *image, int device, pid_t pid, uint32_t xid, int result)
{
    gs_device *hit = &image->devices[device];
    if (xid)
        gs_device_note_xid(image, device, pid, xid);
    const gs_slot *slot = pid ? gs_slot_of(image, pid) : NULL;
    hit->fault_pid = slot ? slot->pid : pid;
    hit->fault_result = result;
    hit->fault_seq++;
    if (pid)
        spread_to_clients(image, device, slot);
    for (int i = 0; !pid && i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid && image->slots[i].use[device].contexts)
            spread_to_clients(image, device, &image->slots[i]);
}
