/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of the guard's own that looks after something now and then, and sleeps while there is nothing to do. */
#ifndef GS_WORKER_H
#define GS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gs_worker {
    const char *name; /* as in /proc, at most 15 characters */
    uint64_t (*round)(
        uint64_t now); /* until when it need not look again: ns of CLOCK_MONOTONIC, or UINT64_MAX */
    uint32_t wakeups; /* grows with every wish for a look */
    int state;
    bool started;
    pthread_mutex_t lock;
};

#define GS_WORKER(title, rounds) {.name = title, .round = rounds, .lock = PTHREAD_MUTEX_INITIALIZER}

/* Starts it, or ends its sleep where it has none to end by itself. Cheap while it is awake or naps. */
void gs_worker_wake(struct gs_worker *worker);

/* Makes it look at once: a time that it waits for has changed. */
void gs_worker_hurry(struct gs_worker *worker);

/* In a forked child there is no such thread. */
void gs_worker_forget(struct gs_worker *worker);

#endif
