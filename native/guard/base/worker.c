/* SPDX-License-Identifier: Apache-2.0 */
#include "base/worker.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { AWAKE, NAPS, SLEEPS };

static void rest(struct gs_clerk *clerk, uint32_t seen, uint64_t until)
{
    uint64_t now = gs_now(), left = until > now ? until - now : 0;
    struct timespec nap = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    if (left == 0)
        return;
    __atomic_store_n(&clerk->state, until == UINT64_MAX ? SLEEPS : NAPS, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &clerk->bell, FUTEX_WAIT_PRIVATE, seen, until == UINT64_MAX ? NULL : &nap, NULL, 0);
    __atomic_store_n(&clerk->state, AWAKE, __ATOMIC_SEQ_CST);
}

static void *serve(void *argument)
{
    struct gs_clerk *clerk = argument;
    /* The kernel rounds sleeps by 50 us for other threads; a turn's end wants to be met. */
    prctl(PR_SET_TIMERSLACK, 1000);
    prctl(PR_SET_NAME, clerk->name);
    for (;;) {
        uint32_t seen = __atomic_load_n(&clerk->bell, __ATOMIC_SEQ_CST);
        rest(clerk, seen, clerk->tend(gs_now()));
    }
    return NULL;
}

/* Signals of the program are not the clerk's to take. */
static void start(struct gs_clerk *clerk)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&clerk->lock);
    if (!clerk->started) {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(&thread, NULL, serve, clerk);
        if (error == 0)
            pthread_detach(thread);
        else
            gs_log("cannot start the thread %s (%d)", clerk->name, error);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        __atomic_store_n(&clerk->started, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&clerk->lock);
}

static void ring(struct gs_clerk *clerk, int shallowest)
{
    if (!__atomic_load_n(&clerk->started, __ATOMIC_ACQUIRE))
        start(clerk);
    __atomic_add_fetch(&clerk->bell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&clerk->state, __ATOMIC_SEQ_CST) < shallowest)
        return;
    int kept_errno = errno;
    syscall(SYS_futex, &clerk->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept_errno;
}

void gs_clerk_wake(struct gs_clerk *clerk)
{
    ring(clerk, SLEEPS);
}

void gs_clerk_hurry(struct gs_clerk *clerk)
{
    ring(clerk, NAPS);
}

void gs_clerk_forget(struct gs_clerk *clerk)
{
    clerk->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    clerk->state = AWAKE;
    clerk->started = false;
}
