/* SPDX-License-Identifier: Apache-2.0 */
/* The machine image as a file: mapping, lock, devices, limits, faults. */
#include "machine/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static gs_image *attached;
int gs_image_fd = -1;

gs_image *gs_image_open(const char *path, int *fd)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    gs_image *image = MAP_FAILED;
    if (file < 0)
        return NULL;
    if (fstat(file, &status) == 0 && (size_t)status.st_size >= sizeof *image)
        image = mmap(NULL, sizeof *image, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    else
        errno = EINVAL;
    if (image != MAP_FAILED && (image->magic != GS_IMAGE_MAGIC || image->version != GS_IMAGE_VERSION)) {
        munmap(image, sizeof *image);
        image = MAP_FAILED;
        errno = EINVAL;
    }
    if (image == MAP_FAILED || !fd)
        close(file);
    if (image == MAP_FAILED)
        return NULL;
    if (fd)
        *fd = file;
    return image;
}

static void attach(void)
{
    const char *path = getenv("GPUSHARE_SIM_MACHINE");
    if (path && *path)
        attached = gs_image_open(path, &gs_image_fd);
}

gs_image *gs_image_attach(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, attach);
    if (!attached)
        errno = ENOENT;
    return attached;
}

void gs_image_lock(gs_image *image)
{
    /* Nothing to repair when the owner died: no counter is derived from another one (image.h, invariant 2). */
    if (pthread_mutex_lock(&image->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&image->lock);
}

void gs_image_unlock(gs_image *image)
{
    pthread_mutex_unlock(&image->lock);
}

static uint64_t charged(const gs_image *image, int device)
{
    uint64_t sum = 0;
    for (int i = 0; i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid)
            sum += image->slots[i].use[device].bytes;
    return sum;
}

uint64_t gs_device_used(const gs_image *image, int device)
{
    uint64_t sum = image->devices[device].reserved + charged(image, device);
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (image->devices[i].present && image->devices[i].parent == device)
            sum += image->devices[i].reserved + charged(image, i);
    return sum;
}

int gs_device_by_uuid(const gs_image *image, const char *uuid)
{
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (image->devices[i].present && strcmp(image->devices[i].uuid, uuid) == 0)
            return i;
    return -1;
}

/* A cgroup directory without its mount point: /sys/fs/cgroup[/unified|/CONTROLLERS]/share-a -> /share-a. */
static const char *inside_mount(const char *directory, const char *controllers, size_t length)
{
    static const char root[] = "/sys/fs/cgroup";
    if (strncmp(directory, root, sizeof root - 1) != 0)
        return directory;
    directory += sizeof root - 1;
    if (length == 0)
        return strncmp(directory, "/unified/", 9) == 0 ? directory + 8 : directory;
    if (directory[0] == '/' && strncmp(directory + 1, controllers, length) == 0 && directory[length + 1] == '/')
        return directory + length + 1;
    return NULL;
}

static bool path_holds(const char *above, const char *path, size_t length, bool leaf)
{
    size_t n = strlen(above);
    while (n > 1 && above[n - 1] == '/')
        n--;
    if (n > length || strncmp(above, path, n) != 0)
        return false;
    return n == length || (!leaf && (path[n] == '/' || n == 1));
}

bool gs_cgroup_holds(const char *cgroup, const char *proc_cgroup, bool leaf)
{
    /* Lines are "id:controllers:path"; cgroup v2 has no controllers. */
    for (const char *line = proc_cgroup; *line;) {
        size_t length = strcspn(line, "\n");
        const char *first = memchr(line, ':', length);
        const char *second = first ? memchr(first + 1, ':', length - (size_t)(first + 1 - line)) : NULL;
        if (second) {
            const char *above = inside_mount(cgroup, first + 1, (size_t)(second - first - 1));
            if (above && path_holds(above, second + 1, (size_t)(line + length - second - 1), leaf))
                return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

static bool covers(const gs_image *image, const gs_limit *limit, int device)
{
    return limit->present && (limit->device == device || limit->device == image->devices[device].parent);
}

uint64_t gs_limit_used(const gs_image *image, const gs_limit *limit)
{
    uint64_t sum = 0;
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *slot = &image->slots[i];
        /* Managed memory counts as system memory here (NVIDIA memory partitioning, r615). */
        if (slot->pid && gs_cgroup_holds(limit->cgroup, slot->cgroup, false))
            sum += slot->use[limit->device].bytes - slot->use[limit->device].managed;
    }
    return sum;
}

const gs_limit *gs_limit_of(const gs_image *image, const gs_slot *slot, int device)
{
    const gs_limit *tightest = NULL;
    for (int i = 0; i < GS_MAX_LIMITS; i++) {
        const gs_limit *limit = &image->limits[i];
        if (!covers(image, limit, device) || !gs_cgroup_holds(limit->cgroup, slot->cgroup, false))
            continue;
        if (!tightest || limit->hard < tightest->hard)
            tightest = limit;
    }
    return tightest;
}

void gs_device_note_xid(gs_image *image, int device, pid_t pid, uint32_t xid)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    image->xid_seq++;
    image->xids[image->xid_seq % GS_MAX_XIDS] = (gs_xid){
        .seq = image->xid_seq, .device = device, .pid = pid, .xid = xid,
        .time_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec};
}

static void spread_to_clients(gs_image *image, int device, pid_t pid)
{
    gs_slot *slot = gs_slot_of(image, pid);
    if (!slot || slot->mps_client < 0)
        return;
    int server = image->clients[slot->mps_client].server;
    gs_mps_server *home = &image->servers[server];
    home->state = GS_MPS_FAULT;
    home->fault_seq++;
    home->fault_devices |= 1ull << device;
    home->fault_pid = pid;
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (image->clients[i].pid && image->clients[i].server == server)
            image->clients[i].faulted = true;
}

void gs_device_fault(gs_image *image, int device, pid_t pid, uint32_t xid, int result)
{
    gs_device *hit = &image->devices[device];
    if (xid)
        gs_device_note_xid(image, device, pid, xid);
    hit->fault_pid = pid;
    hit->fault_result = result;
    hit->fault_seq++;
    if (pid)
        spread_to_clients(image, device, pid);
    for (int i = 0; !pid && i < GS_MAX_SLOTS; i++)
        if (image->slots[i].pid && image->slots[i].use[device].contexts)
            spread_to_clients(image, device, image->slots[i].pid);
}
