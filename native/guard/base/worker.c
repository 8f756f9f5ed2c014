/* SPDX-License-Identifier: Apache-2.0 */
#include "base/worker.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

enum { AWAKE, NAPS, SLEEPS }; /* naps: until a time; sleeps: until woken */

static void sleep_until(struct gs_worker *worker, uint32_t wakeups, uint64_t until)
{
    uint64_t now = gs_now(), left = until > now ? until - now : 0;
    struct timespec nap = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    if (left == 0)
        return;
    __atomic_store_n(&worker->state, until == UINT64_MAX ? SLEEPS : NAPS, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &worker->wakeups, FUTEX_WAIT_PRIVATE, wakeups,
            until == UINT64_MAX ? NULL : &nap, NULL, 0);
    __atomic_store_n(&worker->state, AWAKE, __ATOMIC_SEQ_CST);
}

static void *serve(void *argument)
{
    struct gs_worker *worker = argument;
    /* The default slack of 50 us would make turns end late. */
    prctl(PR_SET_TIMERSLACK, 1000);
    prctl(PR_SET_NAME, worker->name);
    for (;;) {
        uint32_t wakeups = __atomic_load_n(&worker->wakeups, __ATOMIC_SEQ_CST);
        sleep_until(worker, wakeups, worker->round(gs_now()));
    }
    return NULL;
}

static void start(struct gs_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    if (!worker->started) {
        gs_thread_start_detached(worker->name, serve, worker);
        __atomic_store_n(&worker->started, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&worker->lock);
}

static void notify(struct gs_worker *worker, int shallowest)
{
    if (!__atomic_load_n(&worker->started, __ATOMIC_ACQUIRE))
        start(worker);
    __atomic_add_fetch(&worker->wakeups, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&worker->state, __ATOMIC_SEQ_CST) < shallowest)
        return;
    int kept_errno = errno;
    syscall(SYS_futex, &worker->wakeups, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept_errno;
}

void gs_worker_wake(struct gs_worker *worker)
{
    notify(worker, SLEEPS);
}

void gs_worker_hurry(struct gs_worker *worker)
{
    notify(worker, NAPS);
}

void gs_worker_forget(struct gs_worker *worker)
{
    worker->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    worker->state = AWAKE;
    worker->started = false;
}
