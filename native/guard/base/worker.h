/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A background thread that runs `round` again and again, and sleeps until the time that `round`
 * returned or until it is woken. It starts at the first wake-up.
 * Owner: the file that defines the worker. Threads: any may wake it; `round` runs on the worker's
 * own thread only.
 * Limits: at most one round per wake-up; in a forked child it does not exist until it is woken
 * again.
 */
#ifndef GS_WORKER_H
#define GS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gs_worker {
    const char *name;                /* as in /proc, at most 15 characters */
    uint64_t (*round)(
        uint64_t now); /* when to run next: ns of CLOCK_MONOTONIC; UINT64_MAX: when woken */
    uint32_t wakeups;                /* futex: grows with every wake-up */
    int state;
    bool started;
    pthread_mutex_t lock; /* of `started` */
};

#define GS_WORKER(title, rounds) {.name = title, .round = rounds, .lock = PTHREAD_MUTEX_INITIALIZER}

/*
 * Starts the worker, or ends a sleep that has no end time. Costs no system call while the worker
 * runs or naps.
 */
void gs_worker_wake(struct gs_worker *worker);

/* Runs the next round at once: a time that the worker waits for has changed. */
void gs_worker_hurry(struct gs_worker *worker);

/* In the child of a fork. */
void gs_worker_forget(struct gs_worker *worker);

#endif
