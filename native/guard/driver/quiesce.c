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

/* Threads are spread over counters, so that entering does not make them pass a cache line around. */
struct counter {
    _Alignas(64) uint32_t inside;
};

bool gs_halt_armed;

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* of the next two */
static uint32_t halted; /* a futex: 1 while nobody may enter */
static bool by_mover;   /* the mover has halted us and will end it */
static struct counter counters[COUNTERS];
static bool touched;
static uint32_t next_counter;
static __thread struct counter *mine;
static __thread unsigned depth; /* calls of the driver end up in other calls of the driver */

static struct counter *own(void)
{
    if (!mine)
        mine = &counters[__atomic_fetch_add(&next_counter, 1, __ATOMIC_RELAXED) % COUNTERS];
    return mine;
}

/* A process that was born into a suspended share may have no mover yet, so whoever waits looks for itself. */
static void end_if_over(void)
{
    const struct gs_region *region = gs_shared_region();
    pthread_mutex_lock(&changing);
    bool over = !by_mover && !(__atomic_load_n(&region->halt, __ATOMIC_SEQ_CST) & 1);
    if (over)
        __atomic_store_n(&halted, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&changing);
}

static void wait_outside(void)
{
    int kept_errno = errno;
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    while (gs_halted()) {
        syscall(SYS_futex, &halted, FUTEX_WAIT_PRIVATE, 1, &pause, NULL, 0);
        end_if_over();
    }
    errno = kept_errno;
}

/* Counted first, then looked: gs_halt() sets first, then counts. One of the two sees the other. */
void gs_halt_enter(void)
{
    if (depth++)
        return;
    struct counter *counter = own();
    for (;;) {
        __atomic_fetch_add(&counter->inside, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&halted, __ATOMIC_SEQ_CST))
            break;
        __atomic_fetch_sub(&counter->inside, 1, __ATOMIC_SEQ_CST);
        wait_outside();
    }
    if (!__atomic_load_n(&touched, __ATOMIC_RELAXED))
        __atomic_store_n(&touched, true, __ATOMIC_RELAXED);
}

void gs_halt_leave(void)
{
    if (depth == 0 || --depth) /* 0: it entered before we were armed */
        return;
    __atomic_fetch_sub(&mine->inside, 1, __ATOMIC_SEQ_CST);
}

bool gs_halted(void)
{
    return __atomic_load_n(&halted, __ATOMIC_SEQ_CST) != 0;
}

bool gs_halt_touched(void)
{
    return __atomic_load_n(&touched, __ATOMIC_SEQ_CST);
}

void gs_halt_touch(void)
{
    __atomic_store_n(&touched, true, __ATOMIC_SEQ_CST);
}

void gs_halt_arm(bool away)
{
    __atomic_store_n(&halted, away, __ATOMIC_SEQ_CST);
    __atomic_store_n(&gs_halt_armed, true, __ATOMIC_SEQ_CST);
}

static bool empty(void)
{
    uint32_t inside = 0;
    for (int i = 0; i < COUNTERS; i++)
        inside |= __atomic_load_n(&counters[i].inside, __ATOMIC_SEQ_CST);
    return inside == 0;
}

bool gs_halt(bool (*wanted)(void))
{
    pthread_mutex_lock(&changing);
    by_mover = true;
    __atomic_store_n(&halted, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&changing);
    while (!empty()) {
        if (!wanted()) {
            gs_unhalt();
            gs_halt_touch();
            return false;
        }
        usleep(SETTLE_US);
    }
    return true;
}

void gs_unhalt(void)
{
    pthread_mutex_lock(&changing);
    __atomic_store_n(&touched, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&halted, 0, __ATOMIC_SEQ_CST);
    by_mover = false;
    pthread_mutex_unlock(&changing);
    syscall(SYS_futex, &halted, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void gs_halt_forget(void)
{
    if (!gs_halt_armed)
        return;
    changing = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(counters, 0, sizeof counters);
    by_mover = false;
    depth = 0;
    touched = false;
    gs_halt_arm(gs_shared_region()->halt & 1);
}
