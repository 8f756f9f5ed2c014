/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/process/attachment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "charge/device.h"
#include "driver/capture_state.h"
#include "schedule/process/timer_thread.h"
#include "share/attach.h"

bool gs_gate_armed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_ride first[GS_GPUS] = {[0 ... GS_GPUS - 1] = {.burst.lock = PTHREAD_MUTEX_INITIALIZER}};
static struct gs_ride *newest[GS_GPUS]; /* NULL: still the first one */
static uint64_t refused[GS_GPUS];       /* the region's moves plus one at which no board could be had */

static struct gs_ride *ride_of(int gpu)
{
    struct gs_ride *ride = __atomic_load_n(&newest[gpu], __ATOMIC_ACQUIRE);
    return ride ? ride : &first[gpu];
}

/* Read with every launch, beside the limit on a line that hardly anybody writes. */
static uint64_t moves_of(int gpu)
{
    return __atomic_load_n(&gs_shared_region()->gpu[gpu].moves, __ATOMIC_RELAXED);
}

static bool stands(const struct gs_ride *ride, int gpu)
{
    return __atomic_load_n(&ride->ready, __ATOMIC_ACQUIRE) && ride->moves == moves_of(gpu);
}

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

/* Once on each board: threads may be counted in its rider. */
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
    ride->moves = moves_of(gpu);
    return true;
}

/*
 * The share's memory has come to another GPU, and so has the process. The old ride is kept as it is, for threads may
 * be in the middle of it; a fence that one of them still puts in looks at a seat that is free.
 */
static struct gs_ride *change_boards(int gpu, struct gs_ride *old)
{
    struct gs_ride *ride = calloc(1, sizeof *ride);
    if (!ride)
        return old;
    gs_board_hush(old->board, old->place);
    ride->burst.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    ride->before = old;
    __atomic_store_n(&newest[gpu], ride, __ATOMIC_RELEASE);
    return ride;
}

static bool board_up(struct gs_ride *ride, int gpu, uint64_t seat)
{
    if (!ride->rider && !mount(ride, gpu, seat))
        return false;
    ride->word = shown_to_gpu(&ride->seat->word);
    cuda()->cuCtxGetCurrent(&ride->context);
    return true;
}

static bool is_refused(int gpu)
{
    return __atomic_load_n(&refused[gpu], __ATOMIC_RELAXED) == moves_of(gpu) + 1;
}

/* Wants the lock. */
static struct gs_ride *find_board(int gpu)
{
    struct gs_ride *ride = ride_of(gpu);
    uint64_t moves = moves_of(gpu), seat = gs_shared_region()->gpu[gpu].seat;
    if (ride->rider && ride->moves != moves)
        ride = change_boards(gpu, ride);
    if (stands(ride, gpu))
        return ride;
    bool found = seat > 0 && seat <= GS_SEATS && board_up(ride, gpu, seat);
    if (!found)
        __atomic_store_n(&refused[gpu], moves + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ride->ready, found, __ATOMIC_RELEASE);
    return found ? ride : NULL;
}

static struct gs_ride *set_up(int gpu)
{
    pthread_mutex_lock(&lock);
    struct gs_ride *ride = is_refused(gpu) ? NULL : find_board(gpu);
    pthread_mutex_unlock(&lock);
    return ride;
}

static int current_gpu(void)
{
    CUdevice device;
    if (gs_shared_region()->gpu_count == 1 && __atomic_load_n(&ride_of(0)->ready, __ATOMIC_ACQUIRE))
        return 0;
    return cuda()->cuCtxGetDevice(&device) == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
}

struct gs_ride *gs_ride_here(void)
{
    int gpu = current_gpu();
    if (gpu < 0 || is_refused(gpu))
        return NULL;
    struct gs_ride *ride = ride_of(gpu);
    if (stands(ride, gpu))
        return ride;
    /* Pinning memory would spoil a capture (driver 580: error 900 for it, 901 for the capture). */
    return gs_capturing() ? NULL : set_up(gpu);
}

struct gs_ride *gs_ride_number(int gpu)
{
    struct gs_ride *ride = ride_of(gpu);
    return __atomic_load_n(&ride->ready, __ATOMIC_ACQUIRE) ? ride : NULL;
}

void gs_rides_context_ends(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (ride_of(gpu)->ready && ride_of(gpu)->context == context)
            __atomic_store_n(&ride_of(gpu)->ready, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

void gs_rides_drain(bool drains)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        if (gs_ride_number(gpu)) {
            __atomic_store_n(&ride_of(gpu)->rider->draining, drains, __ATOMIC_SEQ_CST);
            gs_timer_thread_hurry();
        }
}

/* The parent's rider stays the parent's. */
void gs_rides_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(refused, 0, sizeof refused);
    memset(newest, 0, sizeof newest);
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        first[gpu] = (struct gs_ride){.burst.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* A clean end opens at once what others would have to find out. */
__attribute__((destructor)) static void end(void)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        for (struct gs_ride *ride = ride_of(gpu); ride; ride = ride->before)
            if (ride->rider && ride->rider->pid == getpid())
                gs_board_leave(ride->board, ride->place);
}
