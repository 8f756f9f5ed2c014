/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how long work takes, and when a kernel starts and ends next to the kernels of other
 *   processes.
 * Owner: the image: slot.use[].tail is when a process' newest kernel ends, gs_busy is the history
 *   that NVML reads.
 * Threads: under sim.lock; gs_timeline_kernel() takes the image lock.
 * Limits: an assigned end is not revised when another process submits work later.
 *
 * Model
 * 1. Without MPS, processes share a GPU in time slices, and each change of contexts costs time
 *    (slices.h).
 * 2. Clients of one MPS server run side by side while their SMs suffice; beyond that all slow down
 *    in proportion. Clients of lower priority count a quarter.
 * 3. Kernels of one process that use more than half of its SMs run one after another, smaller ones
 *    in parallel.
 * 4. A kernel that needs more SMs than the process may use takes longer in proportion.
 * 5. Copies take bytes/bandwidth of the host link or of device memory, and do not slow kernels
 *    down.
 */
#ifndef GS_SIM_CUDA_TIMELINE_H
#define GS_SIM_CUDA_TIMELINE_H

#include "cuda/core/driver.h"

/* Places a kernel that is ready at `ready`; returns when it ends. */
uint64_t gs_timeline_kernel(CUcontext ctx, uint64_t ready, uint64_t duration, uint32_t sms);
uint64_t gs_copy_ns(int device, uint64_t bytes, bool over_link);

#endif
