/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

#include "base/log.h"

int gs_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int gs_thread_start_detached(const char *name, void *(*run)(void *), void *argument)
{
    pthread_t thread;
    int error = gs_thread_start(&thread, run, argument);
    if (error == 0)
        pthread_detach(thread);
    else
        gs_log("cannot start the thread %s (error %d)", name, error);
    return error;
}
