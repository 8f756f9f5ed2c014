/* SPDX-License-Identifier: Apache-2.0 */
/* Quiescing: no thread is inside the driver when it is done, and it can be given up. */
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "driver/quiesce.h"

static bool inside, has_to_leave, has_left;

static bool is(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void set(bool *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

/* A thread in a driver call that itself calls the driver. */
static void *visit(void *nothing)
{
    gs_enter();
    gs_enter();
    gs_leave();
    set(&inside, true);
    while (!is(&has_to_leave))
        usleep(100);
    set(&has_left, true);
    gs_leave();
    return nothing;
}

static pthread_t visitor(void)
{
    pthread_t thread;
    set(&inside, false);
    set(&has_to_leave, false);
    set(&has_left, false);
    CHECK(pthread_create(&thread, NULL, visit, NULL) == 0);
    while (!is(&inside))
        usleep(100);
    return thread;
}

/* Asked while quiescing waits: only then does the thread leave. */
static bool ordered_until_it_leaves(void)
{
    set(&has_to_leave, true);
    return true;
}

static bool not_ordered(void)
{
    return false;
}

static void waits_for_threads_inside(void)
{
    pthread_t thread = visitor();
    CHECK(gs_quiesce(ordered_until_it_leaves));
    CHECK(is(&has_left) && gs_is_quiesced());
    gs_quiesce_end();
    CHECK(!gs_is_quiesced() && !gs_quiesce_touched());
    pthread_join(thread, NULL);
}

static void can_be_given_up(void)
{
    pthread_t thread = visitor();
    CHECK(!gs_quiesce(not_ordered));
    CHECK(!gs_is_quiesced() && gs_quiesce_touched() && !is(&has_left));
    set(&has_to_leave, true);
    pthread_join(thread, NULL);
}

static void needs_nothing_when_no_thread_is_inside(void)
{
    CHECK(gs_quiesce(not_ordered) && gs_is_quiesced());
    gs_quiesce_end();
}

int main(void)
{
    gs_quiesce_arm(false);
    waits_for_threads_inside();
    can_be_given_up();
    needs_nothing_when_no_thread_is_inside();
    return 0;
}
