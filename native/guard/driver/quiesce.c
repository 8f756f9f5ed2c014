/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/quiesce.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "share/attach.h"

enum { COUNTERS = 64, POLL_MS = 10, SETTLE_US = 50 };

/* Several counters, so that threads do not all write the same cache line. */
struct counter {
    _Alignas(64) uint32_t inside;
};

bool gs_quiesce_armed;

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* guards the next two */
static uint32_t quiesced; /* futex: 1 while the entrance is closed */
static bool by_suspend_thread; /* the suspend thread has quiesced the process and ends it */
static struct counter counters[COUNTERS];
static bool touched;
static uint32_t next_counter;
static __thread struct counter *mine;
static __thread unsigned depth; /* driver calls nest */

static struct counter *own(void)
{
    if (!mine)
        mine = &counters[__atomic_fetch_add(&next_counter, 1, __ATOMIC_RELAXED) % COUNTERS];
    return mine;
}

/* For a process that started in a suspended share: it may have no suspend thread yet. */
static void end_if_over(void)
{
    const struct gs_region *region = gs_shared_region();
    pthread_mutex_lock(&changing);
    bool over = !by_suspend_thread && !(__atomic_load_n(&region->suspend, __ATOMIC_SEQ_CST) & 1);
    if (over)
        __atomic_store_n(&quiesced, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&changing);
}

static void wait_outside(void)
{
    int kept_errno = errno;
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    while (gs_is_quiesced()) {
        syscall(SYS_futex, &quiesced, FUTEX_WAIT_PRIVATE, 1, &pause, NULL, 0);
        end_if_over();
    }
    errno = kept_errno;
}

/* Invariant 1. */
void gs_quiesce_enter(void)
{
    if (depth++)
        return;
    struct counter *counter = own();
    for (;;) {
        __atomic_fetch_add(&counter->inside, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&quiesced, __ATOMIC_SEQ_CST))
            break;
        __atomic_fetch_sub(&counter->inside, 1, __ATOMIC_SEQ_CST);
        wait_outside();
    }
    if (!__atomic_load_n(&touched, __ATOMIC_RELAXED))
        __atomic_store_n(&touched, true, __ATOMIC_RELAXED);
}

void gs_quiesce_leave(void)
{
    if (depth == 0 || --depth) /* 0: it entered before quiescing was armed */
        return;
    __atomic_fetch_sub(&mine->inside, 1, __ATOMIC_SEQ_CST);
}

bool gs_is_quiesced(void)
{
    return __atomic_load_n(&quiesced, __ATOMIC_SEQ_CST) != 0;
}

bool gs_quiesce_touched(void)
{
    return __atomic_load_n(&touched, __ATOMIC_SEQ_CST);
}

void gs_quiesce_touch(void)
{
    __atomic_store_n(&touched, true, __ATOMIC_SEQ_CST);
}

void gs_quiesce_arm(bool away)
{
    __atomic_store_n(&quiesced, away, __ATOMIC_SEQ_CST);
    __atomic_store_n(&gs_quiesce_armed, true, __ATOMIC_SEQ_CST);
}

static bool empty(void)
{
    uint32_t inside = 0;
    for (int i = 0; i < COUNTERS; i++)
        inside |= __atomic_load_n(&counters[i].inside, __ATOMIC_SEQ_CST);
    return inside == 0;
}

bool gs_quiesce(bool (*still_ordered)(void))
{
    pthread_mutex_lock(&changing);
    by_suspend_thread = true;
    __atomic_store_n(&quiesced, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&changing);
    while (!empty()) {
        if (!still_ordered()) {
            gs_quiesce_end();
            gs_quiesce_touch();
            return false;
        }
        usleep(SETTLE_US);
    }
    return true;
}

void gs_quiesce_end(void)
{
    pthread_mutex_lock(&changing);
    __atomic_store_n(&touched, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&quiesced, 0, __ATOMIC_SEQ_CST);
    by_suspend_thread = false;
    pthread_mutex_unlock(&changing);
    syscall(SYS_futex, &quiesced, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void gs_quiesce_forget(void)
{
    if (!gs_quiesce_armed)
        return;
    changing = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(counters, 0, sizeof counters);
    by_suspend_thread = false;
    depth = 0;
    touched = false;
    gs_quiesce_arm(gs_shared_region()->suspend & 1);
}
