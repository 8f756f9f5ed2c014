/* SPDX-License-Identifier: Apache-2.0 */
/* gpushare-sim-machine: make, show and break a simulated machine (usage and keys: image.h). */
#include "gs_cuda.h"
#include "machine/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "gpushare-sim-machine: %s: %s\n", what, strerror(errno));
    return 1;
}

static void make_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t how;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &how);
    pthread_mutexattr_destroy(&how);
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int create(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    gs_image *image;
    if (file < 0)
        return fail(path);
    /* Processes of every user share the machine, whatever the umask. */
    if (fchmod(file, 0666) != 0 || ftruncate(file, sizeof *image) != 0)
        return fail(path);
    image = mmap(NULL, sizeof *image, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (image == MAP_FAILED)
        return fail(path);
    if (!gs_machine_read(image, stdin)) {
        unlink(path);
        return 2;
    }
    make_lock(&image->lock);
    image->version = GS_IMAGE_VERSION;
    image->size = sizeof *image;
    image->boot_ns = wall_ns();
    __atomic_store_n(&image->magic, GS_IMAGE_MAGIC, __ATOMIC_RELEASE);
    return 0;
}

static void show_processes(gs_image *image)
{
    for (int i = 0; i < GS_MAX_SLOTS; i++)
        for (int d = 0; image->slots[i].pid && d < GS_MAX_DEVICES; d++) {
            const gs_use *use = &image->slots[i].use[d];
            if (use->contexts || use->bytes)
                printf("# process pid=%d device=%d used=%llu contexts=%u type=%s state=%d name=%s\n",
                       image->slots[i].pid, d, (unsigned long long)use->bytes, use->contexts,
                       image->slots[i].mps_client >= 0 ? "M+C" : "C", image->slots[i].checkpoint,
                       image->slots[i].name);
        }
}

static int show(gs_image *image)
{
    gs_image_lock(image);
    gs_image_reap(image);
    gs_machine_show(image, stdout);
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (image->devices[i].present)
            printf("# device %d used=%llu\n", i, (unsigned long long)gs_device_used(image, i));
    show_processes(image);
    gs_image_unlock(image);
    return 0;
}

typedef struct wish {
    int gpu, pid, xid, lost, ecc, mismatch, mps_stuck;
    bool clear;
    long long throttle;
} wish;

static bool read_wish(wish *wish, int count, char **words)
{
    *wish = (struct wish){.gpu = -1, .throttle = -1, .lost = -1, .mismatch = -1, .mps_stuck = -1};
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "clear") == 0)
            wish->clear = true;
        else if (sscanf(word, "gpu=%d", &wish->gpu) != 1 && sscanf(word, "pid=%d", &wish->pid) != 1
                 && sscanf(word, "xid=%d", &wish->xid) != 1 && sscanf(word, "lost=%d", &wish->lost) != 1
                 && sscanf(word, "ecc=%d", &wish->ecc) != 1
                 && sscanf(word, "driver_mismatch=%d", &wish->mismatch) != 1
                 && sscanf(word, "mps_stuck=%d", &wish->mps_stuck) != 1
                 && sscanf(word, "throttle=%lli", &wish->throttle) != 1)
            return false;
    }
    return wish->gpu < GS_MAX_DEVICES;
}

static void heal(gs_device *device)
{
    device->lost = device->ecc_uncorrectable = false;
    device->throttle = 0;
    device->fault_result = 0;
}

/* Which result the contexts on the GPU answer after an Xid (0: they go on). */
static int xid_result(int xid)
{
    switch (xid) {
    case 13: return CUDA_ERROR_LAUNCH_FAILED;
    case 31: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case 43: case 45: case 69: case 109: return CUDA_ERROR_LAUNCH_FAILED;
    case 48: case 94: case 95: return CUDA_ERROR_ECC_UNCORRECTABLE;
    case 74: return CUDA_ERROR_NVLINK_UNCORRECTABLE;
    case 62: case 79: case 119: case 120: case 140: case 143: case 154: return CUDA_ERROR_UNKNOWN;
    default: return 0;
    }
}

static void break_gpu(gs_image *image, const wish *wish)
{
    gs_device *device = &image->devices[wish->gpu];
    if (wish->throttle >= 0)
        device->throttle = (uint64_t)wish->throttle;
    if (wish->lost >= 0)
        device->lost = wish->lost != 0;
    if (wish->lost > 0)
        gs_device_fault(image, wish->gpu, 0, 79, CUDA_ERROR_UNKNOWN);
    if (wish->ecc > 0) {
        device->ecc_uncorrectable = true;
        device->ecc_volatile++;
        device->ecc_aggregate++;
        gs_device_fault(image, wish->gpu, wish->pid, 48, CUDA_ERROR_ECC_UNCORRECTABLE);
    }
    if (wish->xid && !xid_result(wish->xid))
        gs_device_note_xid(image, wish->gpu, wish->pid, (uint32_t)wish->xid);
    else if (wish->xid)
        gs_device_fault(image, wish->gpu, wish->pid, (uint32_t)wish->xid, xid_result(wish->xid));
}

static int fault(gs_image *image, int count, char **words)
{
    wish wish;
    if (!read_wish(&wish, count, words) || (wish.gpu >= 0 && !image->devices[wish.gpu].present)) {
        fprintf(stderr, "gpushare-sim-machine: fault wants gpu=N and xid=N, lost=1, ecc=1, throttle=MASK, "
                        "driver_mismatch=1, mps_stuck=1 or clear\n");
        return 2;
    }
    gs_image_lock(image);
    gs_image_reap(image);
    if (wish.mismatch >= 0)
        image->driver_mismatch = wish.mismatch != 0;
    if (wish.mps_stuck >= 0)
        image->mps_stuck = wish.mps_stuck != 0;
    for (int i = 0; wish.clear && i < GS_MAX_DEVICES; i++)
        if (wish.gpu < 0 || wish.gpu == i)
            heal(&image->devices[i]);
    if (wish.clear && wish.gpu < 0)
        image->driver_mismatch = image->mps_stuck = false;
    if (wish.gpu >= 0)
        break_gpu(image, &wish);
    gs_image_unlock(image);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "create") == 0)
        return create(argv[2]);
    if (argc < 3 || (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "fault") != 0)) {
        fprintf(stderr, "usage: gpushare-sim-machine create IMAGE < spec | show IMAGE | fault IMAGE WHAT...\n");
        return 2;
    }
    setenv("GPUSHARE_SIM_MACHINE", argv[2], 1);
    gs_image *image = gs_image_attach();
    if (!image)
        return fail(argv[2]);
    return strcmp(argv[1], "show") == 0 ? show(image) : fault(image, argc - 3, argv + 3);
}
