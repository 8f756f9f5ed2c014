/* SPDX-License-Identifier: Apache-2.0 */
/* gpushare-sim-machine: create, show and break a simulated machine (usage and keys: spec.h). */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gs_cuda.h"
#include "machine/fault.h"
#include "machine/slot.h"
#include "machine/spec.h"
#include "shared_lock.h"

static int fail(const char *what)
{
    fprintf(stderr, "gpushare-sim-machine: %s: %s\n", what, strerror(errno));
    return 1;
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
    /* Processes of every user share the machine, independent of the umask. */
    if (fchmod(file, 0666) != 0 || ftruncate(file, sizeof *image) != 0)
        return fail(path);
    image = mmap(NULL, sizeof *image, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (image == MAP_FAILED)
        return fail(path);
    if (!gs_machine_read(image, stdin)) {
        unlink(path);
        return 2;
    }
    gs_shared_lock_init(&image->lock);
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
                printf(
                    "# process pid=%d device=%d used=%llu contexts=%u type=%s state=%d name=%s\n",
                    gs_slot_pid(&image->slots[i]), d, (unsigned long long)use->bytes, use->contexts,
                    image->slots[i].mps_client >= 0 ? "M+C" : "C", image->slots[i].checkpoint,
                    image->slots[i].name);
        }
}

static void show_device(const gs_image *image, int device)
{
    const gs_turn *turn = &image->devices[device].turn;
    printf("# device %d used=%llu slices=%llu changes=%llu\n", device,
           (unsigned long long)gs_device_used(image, device), (unsigned long long)turn->slices,
           (unsigned long long)turn->changes);
}

static int show(gs_image *image)
{
    gs_image_lock(image);
    gs_image_reap(image);
    gs_machine_show(image, stdout);
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (image->devices[i].present)
            show_device(image, i);
    show_processes(image);
    gs_image_unlock(image);
    return 0;
}

typedef struct request {
    int gpu, pid, xid, lost, ecc, recovery, mismatch, mps_stuck, residue;
    bool clear;
    long long throttle;
} request;

static bool read_request(request *request, int count, char **words)
{
    *request = (struct request){.gpu = -1,
                                .throttle = -1,
                                .lost = -1,
                                .recovery = -1,
                                .mismatch = -1,
                                .mps_stuck = -1,
                                .residue = -1};
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "clear") == 0)
            request->clear = true;
        else if (sscanf(word, "gpu=%d", &request->gpu) != 1
                 && sscanf(word, "pid=%d", &request->pid) != 1
                 && sscanf(word, "xid=%d", &request->xid) != 1
                 && sscanf(word, "lost=%d", &request->lost) != 1
                 && sscanf(word, "ecc=%d", &request->ecc) != 1
                 && sscanf(word, "recovery=%d", &request->recovery) != 1
                 && sscanf(word, "driver_mismatch=%d", &request->mismatch) != 1
                 && sscanf(word, "mps_stuck=%d", &request->mps_stuck) != 1
                 && sscanf(word, "residue=%d", &request->residue) != 1
                 && sscanf(word, "throttle=%lli", &request->throttle) != 1)
            return false;
    }
    return request->gpu < GS_MAX_DEVICES;
}

/* As a reset does: the driver then says that no recovery action is needed. */
static void clear_faults(gs_image *image, int index)
{
    gs_device *device = &image->devices[index];
    if (device->present)
        gs_device_note_xid(image, index, 0, 0);
    device->lost = device->ecc_uncorrectable = false;
    device->throttle = 0;
    device->recovery = 0;
    device->fault_result = 0;
}

/* What the contexts on the GPU answer after an Xid; 0: they keep working. */
static int xid_result(int xid)
{
    switch (xid) {
    case 13: return CUDA_ERROR_LAUNCH_FAILED;
    case 31: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case 43:
    case 45:
    case 69:
    case 109: return CUDA_ERROR_LAUNCH_FAILED;
    case 48:
    case 94:
    case 95: return CUDA_ERROR_ECC_UNCORRECTABLE;
    case 74: return CUDA_ERROR_NVLINK_UNCORRECTABLE;
    case 62:
    case 79:
    case 119:
    case 120:
    case 140:
    case 143:
    case 154: return CUDA_ERROR_UNKNOWN;
    default: return 0;
    }
}

static void break_gpu(gs_image *image, const request *request)
{
    gs_device *device = &image->devices[request->gpu];
    if (request->throttle >= 0)
        device->throttle = (uint64_t)request->throttle;
    if (request->recovery >= 0) {
        device->recovery = (uint32_t)request->recovery;
        gs_device_note_xid(image, request->gpu, 0, 0);
    }
    if (request->lost >= 0)
        device->lost = request->lost != 0;
    if (request->lost > 0)
        gs_device_fault(image, request->gpu, 0, 79, CUDA_ERROR_UNKNOWN);
    if (request->ecc > 0) {
        device->ecc_uncorrectable = true;
        device->ecc_volatile++;
        device->ecc_aggregate++;
        gs_device_fault(image, request->gpu, request->pid, 48, CUDA_ERROR_ECC_UNCORRECTABLE);
    }
    if (request->xid && !xid_result(request->xid))
        gs_device_note_xid(image, request->gpu, request->pid, (uint32_t)request->xid);
    else if (request->xid)
        gs_device_fault(image, request->gpu, request->pid, (uint32_t)request->xid,
                        xid_result(request->xid));
}

static int fault(gs_image *image, int count, char **words)
{
    request request;
    if (!read_request(&request, count, words)
        || (request.gpu >= 0 && !image->devices[request.gpu].present)) {
        fprintf(
            stderr,
            "usage: gpushare-sim-machine fault IMAGE [gpu=N] [pid=N] xid=N | lost=1 | ecc=1 | throttle=MASK |\n"
            "       recovery=N | driver_mismatch=1 | mps_stuck=1 | residue=1 | clear\n");
        return 2;
    }
    gs_image_lock(image);
    gs_image_reap(image);
    if (request.mismatch >= 0)
        image->driver_mismatch = request.mismatch != 0;
    if (request.residue >= 0)
        image->residue = request.residue != 0;
    if (request.mps_stuck >= 0)
        image->mps_stuck = request.mps_stuck != 0;
    for (int i = 0; request.clear && i < GS_MAX_DEVICES; i++)
        if (request.gpu < 0 || request.gpu == i)
            clear_faults(image, i);
    if (request.clear && request.gpu < 0)
        image->driver_mismatch = image->mps_stuck = false;
    if (request.gpu >= 0)
        break_gpu(image, &request);
    gs_image_unlock(image);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "create") == 0)
        return create(argv[2]);
    if (argc < 3 || (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "fault") != 0)) {
        fprintf(
            stderr,
            "usage: gpushare-sim-machine create IMAGE < spec | show IMAGE | fault IMAGE WHAT...\n");
        return 2;
    }
    setenv("GPUSHARE_SIM_MACHINE", argv[2], 1);
    gs_image *image = gs_image_attach();
    if (!image)
        return fail(argv[2]);
    return strcmp(argv[1], "show") == 0 ? show(image) : fault(image, argc - 3, argv + 3);
}
