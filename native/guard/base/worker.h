/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of the guard's own that looks after something now and then, and sleeps while there is nothing to look after. */
#ifndef GS_WORKER_H
#define GS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gs_clerk {
    const char *name;             /* as in /proc, at most 15 characters */
    uint64_t (*tend)(uint64_t now); /* until when it need not look again: ns of CLOCK_MONOTONIC, or UINT64_MAX */
    uint32_t bell;                /* grows with every wish for a look */
    int state;
    bool started;
    pthread_mutex_t lock;
};

#define GS_CLERK(title, tends) {.name = title, .tend = tends, .lock = PTHREAD_MUTEX_INITIALIZER}

/* Starts it, or ends its sleep where it has none to end by itself. Cheap while it is awake or naps. */
void gs_clerk_wake(struct gs_clerk *clerk);

/* Makes it look at once: a time that it waits for has changed. */
void gs_clerk_hurry(struct gs_clerk *clerk);

/* In a forked child there is no such thread. */
void gs_clerk_forget(struct gs_clerk *clerk);

#endif
