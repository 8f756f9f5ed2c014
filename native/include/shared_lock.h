/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: makes a lock in a file that several processes map.
 * Owner: who creates the file.
 * Threads: one, before others map the file.
 * Limits: robust: after its holder died, the next one to lock it repairs what it guards.
 */
#ifndef GS_SHARED_LOCK_H
#define GS_SHARED_LOCK_H

#include <pthread.h>

static inline void gs_shared_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

#endif
