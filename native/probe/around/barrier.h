/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: several processes begin to measure at the same time.
 * Owner: the parent makes both pipes; each process inherits one end of each.
 * Threads: the main thread.
 * Limits: a process that ends early must not keep the others waiting, so the parent stops waiting
 *     for bytes when every writing end is closed.
 */
#ifndef GS_PROBE_BARRIER_H
#define GS_PROBE_BARRIER_H

#include <stdbool.h>

struct barrier {
    int ready; /* a process writes one byte when it is ready; the parent reads them */
    int go;    /* reading ends when the parent closes its end */
};

/* "READY,GO"; false: not two descriptors. */
bool barrier_parse(const char *text, struct barrier *barrier);

/*
 * Says that this process is ready, and waits for the parent. The second time, and without
 * descriptors, it returns at once.
 */
void barrier_wait(const struct barrier *barrier);

#endif
