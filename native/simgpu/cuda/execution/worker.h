/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: run operations that cannot be timed when they are submitted: host callbacks, waits on
 *   values, and the work behind them.
 * Owner: one detached thread per process, started with the first queued operation; queues belong to
 *   their streams.
 * Threads: all functions under sim.lock. The worker releases it during a callback of the program.
 * Limits: up to 256 contexts with queued work.
 *
 * Model: the worker takes the first operation that may run. An operation may run when
 * 1. nothing older waits in its stream,
 * 2. nothing older waits in a stream it is ordered with (work/order.h), and
 * 3. what it waits for has happened: the time, the event, the value.
 */
#ifndef GS_SIM_CUDA_WORKER_H
#define GS_SIM_CUDA_WORKER_H

#include "cuda/execution/types.h"

bool gs_must_queue(CUstream stream, const gs_op *op);
void gs_queue(CUstream stream, gs_op *op); /* takes over what `op` owns */
void gs_queue_drop(CUstream stream);       /* frees the queue without running it */
void gs_sleep_queue(void); /* until the worker did something; releases sim.lock meanwhile */

#endif
