/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "machine/process.h"

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
    if (image != MAP_FAILED
        && (image->magic != GS_IMAGE_MAGIC || image->version != GS_IMAGE_VERSION)) {
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

enum { LOOK_AFTER_NS = 5000000 };

static __thread bool passed; /* this thread goes on without the lock */

/* False too when it is not of this pid namespace. */
static bool holder_is_stopped(const gs_image *image)
{
    char path[48], text[1024];
    int holder = __atomic_load_n(&image->lock.__data.__owner, __ATOMIC_RELAXED);
    snprintf(path, sizeof path, "/proc/%d/stat", holder);
    if (!holder || !gs_read_file(path, text, sizeof text))
        return false;
    const char *rest = strrchr(text, ')');
    return rest && (strncmp(rest, ") T", 3) == 0 || strncmp(rest, ") t", 3) == 0);
}

static int lock_for_a_while(gs_image *image)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += LOOK_AFTER_NS;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    return pthread_mutex_timedlock(&image->lock, &end);
}

void gs_image_lock(gs_image *image)
{
    static __thread bool was_stopped;
    int error = was_stopped ? pthread_mutex_trylock(&image->lock) : lock_for_a_while(image);
    while (error == EBUSY || error == ETIMEDOUT) {
        /* A GPU does not stop with one of its programs (image.h, invariant 4). */
        passed = was_stopped = holder_is_stopped(image);
        if (passed)
            return;
        error = lock_for_a_while(image);
    }
    was_stopped = false;
    /* Nothing needs repair when the owner died (image.h, invariant 2). */
    if (error == EOWNERDEAD)
        pthread_mutex_consistent(&image->lock);
}

void gs_image_unlock(gs_image *image)
{
    if (!passed)
        pthread_mutex_unlock(&image->lock);
    passed = false;
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
