/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/suspend/suspend_thread.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/thread.h"
#include "driver/capture_state.h"
#include "driver/quiesce.h"
#include "share/attach.h"
#include "swap/suspend/prestage.h"
#include "swap/suspend/suspend.h"

static const char NAME[] = "gpushare-swap";

enum { TICK_US = 10000 };

/* Covers the use of contexts while the program runs. Not held during quiescing. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;

static void tick(struct gs_region *region, struct gs_region_slot *slot)
{
    gs_suspend_obey(region, slot);
    if (gs_is_quiesced())
        return;
    pthread_mutex_lock(&lock);
    gs_prestage_tick(region, slot);
    pthread_mutex_unlock(&lock);
}

static void *run(void *nothing)
{
    prctl(PR_SET_NAME, NAME);
    for (;;) {
        struct gs_region_slot *slot = gs_shared_slot();
        if (slot) {
            gs_spare_captures();
            tick(gs_shared_region(), slot);
        }
        usleep(TICK_US);
    }
    return nothing;
}

void gs_suspend_thread_start(void)
{
    if (gs_quiesce_armed && !__atomic_exchange_n(&started, true, __ATOMIC_SEQ_CST))
        gs_thread_start_detached(NAME, run, NULL); /* without it this process cannot be suspended */
}

void gs_suspend_thread_pause(void)
{
    if (gs_quiesce_armed)
        pthread_mutex_lock(&lock);
}

void gs_suspend_thread_continue(void)
{
    if (gs_quiesce_armed)
        pthread_mutex_unlock(&lock);
}

void gs_suspend_thread_lost_context(void)
{
    gs_prestage_lost();
}

void gs_suspend_thread_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    started = false;
    gs_suspend_forget();
    gs_prestage_forget();
}
