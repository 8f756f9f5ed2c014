/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: fills free GPU memory with zeros and reads it back, so that nothing of earlier programs
 * is left in it.
 * Owner: scrub_run() frees what it allocates.
 * Threads: the main thread.
 * Limits: proves what it was given. Memory that other programs hold, and what the driver keeps, it
 * cannot reach; with less than all free memory the driver chooses which part it gives.
 */
#ifndef GS_PROBE_SCRUB_H
#define GS_PROBE_SCRUB_H

#include "device.h"

struct scrub {
    bool asked;
    bool look;      /* read only, and change nothing */
    uint64_t bytes; /* 0: all that is free */
};

/* Writes the figures in bytes: "allocated", "dirty" (not zero before), "filled", "proved". */
void scrub_run(const struct device *device, const struct scrub *scrub, struct json *json);

#endif
