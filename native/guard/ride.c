/* SPDX-License-Identifier: Apache-2.0 */
#include "ride.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "device.h"
#include "keeper.h"
#include "limit.h"
#include "log.h"
#include "region.h"

bool gs_gate_armed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_ride rides[GS_GPUS] = {[0 ... GS_GPUS - 1] = {.burst.lock = PTHREAD_MUTEX_INITIALIZER}};
static bool refused[GS_GPUS];

void gs_ride_start(void)
{
    const struct gs_region *region = gs_shared_region();
    const char *folder = getenv("GPUSHARE_BOARDS");
    for (uint32_t g = 0; region && folder && *folder && g < region->gpu_count; g++)
        if (region->gpu[g].seat > 0 && region->gpu[g].seat <= GS_SEATS)
            gs_gate_armed = true;
}

static struct gs_board *open_board(const char *uuid)
{
    char path[4096];
    const char *folder = getenv("GPUSHARE_BOARDS");
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, uuid) >= (int)sizeof path)
        return NULL;
    struct gs_board *board = gs_board_map(path);
    if (!board)
        gs_log("cannot map the board %s: %s; this process takes no turns", path, strerror(errno));
    return board;
}

/* The pages that hold the word, registered so that every context's streams can wait for it. */
static CUdeviceptr shown_to_gpu(uint32_t *word)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)word / page * page;
    CUdeviceptr start = 0;
    unsigned flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    CUresult result = cuda()->cuMemHostRegister_v2((void *)at, page, flags);
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        result = cuda()->cuMemHostGetDevicePointer_v2(&start, (void *)at, 0);
    if (result != CUDA_SUCCESS) {
        gs_log("the GPU cannot see the board (%d); the host waits in its stead", (int)result);
        return 0;
    }
    return start + ((uintptr_t)word - at);
}

/* Once in a process' life: threads may be counted in its rider. */
static bool mount(struct gs_ride *ride, int gpu, uint64_t seat)
{
    ride->board = open_board(gs_shared_region()->gpu[gpu].uuid);
    if (!ride->board)
        return false;
    ride->place = gs_board_join(ride->board, (uint32_t)seat - 1);
    if (ride->place < 0) {
        gs_log("the GPU's board has no room for this process; it takes no turns");
        return false;
    }
    ride->seat = &ride->board->seat[seat - 1];
    ride->rider = &ride->board->rider[ride->place];
    ride->gpu = gpu;
    return true;
}

static bool board_up(struct gs_ride *ride, int gpu, uint64_t seat)
{
    if (!ride->rider && !mount(ride, gpu, seat))
        return false;
    ride->word = shown_to_gpu(&ride->seat->word);
    cuda()->cuCtxGetCurrent(&ride->context);
    return true;
}

static struct gs_ride *set_up(int gpu)
{
    struct gs_ride *ride = &rides[gpu];
    uint64_t seat = gs_shared_region()->gpu[gpu].seat;
    pthread_mutex_lock(&lock);
    if (!ride->ready && !refused[gpu]) {
        refused[gpu] = seat == 0 || seat > GS_SEATS || !board_up(ride, gpu, seat);
        __atomic_store_n(&ride->ready, !refused[gpu], __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return refused[gpu] ? NULL : ride;
}

static int current_gpu(void)
{
    CUdevice device;
    if (gs_shared_region()->gpu_count == 1 && __atomic_load_n(&rides[0].ready, __ATOMIC_ACQUIRE))
        return 0;
    return cuda()->cuCtxGetDevice(&device) == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
}

struct gs_ride *gs_ride_here(void)
{
    int gpu = current_gpu();
    if (gpu < 0 || refused[gpu])
        return NULL;
    if (__atomic_load_n(&rides[gpu].ready, __ATOMIC_ACQUIRE))
        return &rides[gpu];
    /* Pinning memory would spoil a capture (driver 580: error 900 for it, 901 for the capture). */
    return gs_capturing() ? NULL : set_up(gpu);
}

struct gs_ride *gs_ride_number(int gpu)
{
    return __atomic_load_n(&rides[gpu].ready, __ATOMIC_ACQUIRE) ? &rides[gpu] : NULL;
}

void gs_rides_context_ends(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (rides[gpu].ready && rides[gpu].context == context)
            __atomic_store_n(&rides[gpu].ready, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

void gs_rides_drain(bool drains)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (gs_ride_number(gpu)) {
            __atomic_store_n(&rides[gpu].rider->draining, drains, __ATOMIC_SEQ_CST);
            gs_keeper_hurry();
        }
}

/* The parent's rider stays the parent's. */
void gs_rides_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(refused, 0, sizeof refused);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        rides[gpu] = (struct gs_ride){.burst.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* A clean end opens at once what others would have to find out. */
__attribute__((destructor)) static void end(void)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (rides[gpu].rider && rides[gpu].rider->pid == getpid())
            gs_board_leave(rides[gpu].board, rides[gpu].place);
}
