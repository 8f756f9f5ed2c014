/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long launches take on the GPU, learned from pairs of events around some launches of each
 * kernel and grid. cost_table.h has what is learned; this has the events.
 *
 * Owner: the process; one table for all of its GPUs.
 * Threads: any thread that launches. Never waits: where the lock is held, a launch is not measured.
 * Limits: 16 measurements at a time.
 */
#ifndef GS_COST_MODEL_H
#define GS_COST_MODEL_H

#include "schedule/process/attachment.h"

/* ns; 0: not measured yet. */
uint64_t gs_cost_model_estimate(uint64_t key);

/*
 * Begins a measurement if this launch is one of those to be measured; a number for
 * gs_cost_model_end(), or -1.
 */
int gs_cost_model_begin(uint64_t key, CUstream stream);
void gs_cost_model_end(int sample, CUstream stream, bool launched,
                       struct gs_attachment *attachment);

/* Before a context ends, and with it its events; in the child of a fork. */
void gs_cost_model_forget_context(CUcontext context);
void gs_cost_model_forget(void);

#endif
