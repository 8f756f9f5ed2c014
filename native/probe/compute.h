/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: measure the share of a GPU's time that a program without idle time gets.
 * Owner: none.
 * Threads: the main thread.
 * Limits: takes 1.4 s; counts kernels of 2 ms, so errors of a few percent are normal.
 */
#ifndef GS_PROBE_COMPUTE_H
#define GS_PROBE_COMPUTE_H

#include "device.h"

/*
 * In basis points (10000 is the whole GPU); -1: not measured; 0: no work has ended for seconds, and
 * the process cannot release its context.
 */
int64_t compute_measure(const struct device *device);

/* Works without a pause until standard input ends. */
void compute_load(const struct device *device);

#endif
