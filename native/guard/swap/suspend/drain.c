/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/suspend/drain.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "driver/capture_state.h"
#include "driver/quiesce.h"
#include "swap/blocks/block.h"

enum { CONTEXTS = 64, POLL_NS = 5000000 };

struct work {
    CUcontext context[CONTEXTS];
    int count;
    bool broken;
    sem_t done;
};

static bool is_collected(const struct work *work, CUcontext context)
{
    for (int i = 0; i < work->count; i++)
        if (work->context[i] == context)
            return true;
    return false;
}

static void collect(struct work *work)
{
    const struct gs_block *block;
    for (size_t n = 0; (block = gs_block_number(n)); n++)
        if (work->count < CONTEXTS && !is_collected(work, block->context))
            work->context[work->count++] = block->context;
}

static void *synchronise(void *argument)
{
    struct work *work = argument;
    gs_spare_captures();
    for (int i = 0; i < work->count && !work->broken; i++)
        work->broken = cuda()->cuCtxSetCurrent(work->context[i]) != CUDA_SUCCESS
                       || cuda()->cuCtxSynchronize() != CUDA_SUCCESS;
    sem_post(&work->done);
    return NULL;
}

static bool done_soon(struct work *work)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLL_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int result;
    while ((result = sem_timedwait(&work->done, &until)) < 0 && errno == EINTR)
        ;
    return result == 0;
}

enum gs_drained gs_drain(bool (*still_ordered)(void))
{
    struct work work = {.count = 0};
    pthread_t thread;
    bool gave_up = false;
    sem_init(&work.done, 0, 0);
    collect(&work);
    bool started = pthread_create(&thread, NULL, synchronise, &work) == 0;
    if (!started)
        synchronise(&work);
    while (started && !gave_up && !done_soon(&work))
        gave_up = !still_ordered();
    if (gave_up) {
        gs_quiesce_end();
        gs_quiesce_touch();
    }
    if (started)
        pthread_join(thread, NULL);
    sem_destroy(&work.done);
    return gave_up ? GS_GAVE_UP : work.broken ? GS_BROKEN : GS_DRAINED;
}
