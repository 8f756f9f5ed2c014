/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "conductor.h"
#include "floor.h"
#include "log.h"
#include "marks.h"
#include "region.h"
#include "ride.h"
#include "urgent.h"

enum sleep { AWAKE, NAPS, SLEEPS };

static uint32_t bell; /* grows with every wish for a look */
static int state = AWAKE;
static bool started;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t tend(struct gs_ride *ride, int gpu, uint64_t now)
{
    /* Questions about the legacy stream are about the current context's. */
    cuda()->cuCtxSetCurrent(ride->context);
    uint64_t next = gs_urgent_tick(ride, now);
    next = earlier(next, gs_floor_tick(ride, gpu, now));
    next = earlier(next, gs_marks_tick(ride, gpu, now));
    return earlier(next, gs_conductor_tick(ride, gpu, now));
}

static uint64_t tend_all(void)
{
    uint64_t next = UINT64_MAX, now = gs_now();
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        struct gs_ride *ride = gs_ride_number(gpu);
        if (ride)
            next = earlier(next, tend(ride, gpu, now));
    }
    return next;
}

static void rest(uint32_t seen, uint64_t until)
{
    uint64_t now = gs_now(), left = until > now ? until - now : 0;
    struct timespec nap = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    if (left == 0)
        return;
    __atomic_store_n(&state, until == UINT64_MAX ? SLEEPS : NAPS, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &bell, FUTEX_WAIT_PRIVATE, seen, until == UINT64_MAX ? NULL : &nap, NULL, 0);
    __atomic_store_n(&state, AWAKE, __ATOMIC_SEQ_CST);
}

static void *keep(void *nothing)
{
    /* The kernel rounds sleeps by 50 us for other threads; a turn's end wants to be met. */
    prctl(PR_SET_TIMERSLACK, 1000);
    prctl(PR_SET_NAME, "gpushare-keeper");
    for (;;) {
        uint32_t seen = __atomic_load_n(&bell, __ATOMIC_SEQ_CST);
        rest(seen, tend_all());
    }
    return nothing;
}

/* Signals of the program are not the keeper's to take. */
static void start(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&lock);
    if (!started) {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(&thread, NULL, keep, NULL);
        if (error == 0)
            pthread_detach(thread);
        else
            gs_log("cannot start the keeper thread (%d); nobody ends what this process holds up", error);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        __atomic_store_n(&started, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
}

static void ring(enum sleep deepest)
{
    if (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
        start();
    __atomic_add_fetch(&bell, 1, __ATOMIC_SEQ_CST);
    if ((int)deepest <= __atomic_load_n(&state, __ATOMIC_SEQ_CST)) {
        int kept_errno = errno;
        syscall(SYS_futex, &bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = kept_errno;
    }
}

void gs_keeper_wake(void)
{
    ring(SLEEPS);
}

void gs_keeper_wake_now(void)
{
    ring(NAPS);
}

void gs_keeper_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    state = AWAKE;
    started = false;
}
