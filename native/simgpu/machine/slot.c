/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/process.h"

static gs_slot *mine;

static struct flock slot_byte(const gs_image *image, const gs_slot *slot)
{
    off_t at = (off_t)((const char *)slot - (const char *)image);
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

static bool dead(const gs_image *image, const gs_slot *slot)
{
    if (slot == mine)
        return false;
    struct flock lock = slot_byte(image, slot);
    return gs_image_fd >= 0 && fcntl(gs_image_fd, F_OFD_GETLK, &lock) == 0
           && lock.l_type == F_UNLCK;
}

static void leave_server(gs_image *image, int client)
{
    int server = image->clients[client].server;
    memset(&image->clients[client], 0, sizeof image->clients[client]);
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (image->clients[i].pid && image->clients[i].server == server
            && image->clients[i].faulted)
            return;
    if (image->servers[server].state == GS_MPS_FAULT) {
        image->servers[server].state = GS_MPS_ACTIVE;
        image->servers[server].fault_devices = 0;
    }
}

static void reap_mps(gs_image *image)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++) {
        const gs_mps_client *client = &image->clients[i];
        if (client->pid && image->slots[client->slot].pid != client->pid)
            leave_server(image, i);
    }
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (image->servers[i].pid
            && gs_process_start(image->servers[i].pid) != image->servers[i].start_time)
            memset(&image->servers[i], 0, sizeof image->servers[i]);
    for (int i = 0; i < GS_MAX_MPS_DAEMONS; i++)
        if (image->daemons[i].pid
            && gs_process_start(image->daemons[i].pid) != image->daemons[i].start_time)
            memset(&image->daemons[i], 0, sizeof image->daemons[i]);
}

void gs_image_reap(gs_image *image)
{
    for (int i = 0; i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid && dead(image, &image->slots[i]))
            memset(&image->slots[i], 0, sizeof image->slots[i]);
    reap_mps(image);
}

static void describe(gs_slot *slot)
{
    const char *cgroup = getenv("GPUSHARE_SIM_CGROUP");
    slot->pid = getpid();
    slot->uid = getuid();
    slot->start_time = gs_process_start(slot->pid);
    slot->mps_client = -1;
    slot->heap_fd = -1;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        slot->device_map[i] = -1;
    gs_read_file("/proc/self/cmdline", slot->name, sizeof slot->name);
    if (cgroup && *cgroup)
        snprintf(slot->cgroup, sizeof slot->cgroup, "0::%s\n", cgroup);
    else
        gs_read_file("/proc/self/cgroup", slot->cgroup, sizeof slot->cgroup);
}

gs_slot *gs_slot_mine(gs_image *image)
{
    if (mine)
        return mine;
    gs_image_reap(image);
    for (int i = 0; i < GS_MAX_SLOTS && !mine; i++) {
        struct flock lock = slot_byte(image, &image->slots[i]);
        if (image->slots[i].pid || fcntl(gs_image_fd, F_OFD_SETLK, &lock) != 0)
            continue;
        memset(&image->slots[i], 0, sizeof image->slots[i]);
        describe(&image->slots[i]);
        mine = &image->slots[i];
    }
    return mine;
}

gs_slot *gs_slot_of(gs_image *image, pid_t pid)
{
    for (int i = 0; i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid == pid && !dead(image, &image->slots[i]))
            return &image->slots[i];
    return NULL;
}

void gs_slot_forget_after_fork(void)
{
    if (gs_image_fd >= 0)
        close(gs_image_fd);
    gs_image_fd = -1;
    mine = NULL;
}
