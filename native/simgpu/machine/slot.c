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

static const void *held[GS_MAX_MPS_DAEMONS + GS_MAX_MPS_SERVERS]; /* by this process */
enum { MOST_HELD = sizeof held / sizeof *held };

/* The first byte of an entry of the image. */
static struct flock byte_of(const gs_image *image, const void *entry, short kind)
{
    off_t at = (off_t)((const char *)entry - (const char *)image);
    return (struct flock){.l_type = kind, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

/* A process does not see its own locks. */
static bool is_own(const void *entry)
{
    for (int i = 0; i < MOST_HELD; i++)
        if (held[i] == entry)
            return true;
    return entry == mine;
}

static bool dead(const gs_image *image, const void *entry)
{
    if (is_own(entry))
        return false;
    struct flock lock = byte_of(image, entry, F_WRLCK);
    return gs_image_fd >= 0 && fcntl(gs_image_fd, F_OFD_GETLK, &lock) == 0
           && lock.l_type == F_UNLCK;
}

/* A read lock, because a server and its daemon both hold the server's entry. */
void gs_entry_hold(const gs_image *image, const void *entry)
{
    struct flock lock = byte_of(image, entry, F_RDLCK);
    int free = 0;
    while (free < MOST_HELD - 1 && held[free])
        free++;
    if (fcntl(gs_image_fd, F_OFD_SETLK, &lock) == 0)
        held[free] = entry;
}

void gs_entry_drop(const gs_image *image, const void *entry)
{
    struct flock lock = byte_of(image, entry, F_UNLCK);
    for (int i = 0; i < MOST_HELD; i++)
        if (held[i] == entry)
            held[i] = NULL;
    fcntl(gs_image_fd, F_OFD_SETLK, &lock);
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

/* Whether its slot is still the one of the process that connected. */
static bool connected(const gs_image *image, const gs_mps_client *client)
{
    const gs_slot *slot = &image->slots[client->slot];
    return slot->pid == client->slot_pid && slot->start_time == client->slot_start;
}

static void reap_mps(gs_image *image)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (image->clients[i].pid && !connected(image, &image->clients[i]))
            leave_server(image, i);
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (image->servers[i].pid && dead(image, &image->servers[i]))
            memset(&image->servers[i], 0, sizeof image->servers[i]);
    for (int i = 0; i < GS_MAX_MPS_DAEMONS; i++)
        if (image->daemons[i].pid && dead(image, &image->daemons[i]))
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
    slot->pid_namespace = gs_process_namespace();
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
        struct flock lock = byte_of(image, &image->slots[i], F_WRLCK);
        if (image->slots[i].pid || fcntl(gs_image_fd, F_OFD_SETLK, &lock) != 0)
            continue;
        memset(&image->slots[i], 0, sizeof image->slots[i]);
        describe(&image->slots[i]);
        mine = &image->slots[i];
    }
    return mine;
}

pid_t gs_slot_pid(const gs_slot *slot)
{
    if (!slot->pid || slot->pid_namespace == gs_process_namespace())
        return slot->pid;
    pid_t here = gs_process_here(slot->pid, slot->start_time);
    return here ? here : slot->pid;
}

gs_slot *gs_slot_of(gs_image *image, pid_t pid)
{
    for (int i = 0; i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid && gs_slot_pid(&image->slots[i]) == pid
            && !dead(image, &image->slots[i]))
            return &image->slots[i];
    return NULL;
}

void gs_slot_forget_after_fork(void)
{
    if (gs_image_fd >= 0)
        close(gs_image_fd);
    gs_image_fd = -1;
    mine = NULL;
    memset(held, 0, sizeof held);
}
