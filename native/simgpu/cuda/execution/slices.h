/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: when a kernel that takes turns on a GPU with the work of other processes ends.
 * Owner: the caller; gs_turn is the device's, in the image.
 * Threads: under the image lock.
 * Limits: what others submit later is not foreseen, so an end is exact to within one slice.
 *
 * Model
 * 1. A GPU belongs to one party at a time: a process, or the clients of one MPS server together.
 * 2. A party keeps it for a time slice while others have work, and without end while none has.
 * 3. Then each of the others gets a slice, and the GPU comes back. Each change of parties costs
 *    `change`, in which nothing is computed. A party that begins while another works waits for
 *    the end of the other's slice.
 * 4. Every party counts the changes to itself and the slices it gets, so that the sums over
 *    parties are those of the GPU.
 *
 * The lengths are a device's `slice_us` and `change_us`: 2048 µs is what driver 580 sets for compute
 * work, 165 µs is what a change took on an H200, whatever the kernels (measured).
 */
#ifndef GS_SIM_CUDA_SLICES_H
#define GS_SIM_CUDA_SLICES_H

#include "cuda/core/driver.h"

/* Work of another process that is on the GPU. */
typedef struct gs_rival {
    int32_t party;
    uint64_t tail;   /* when it ends */
    uint32_t demand; /* SMs that it takes from a kernel of the same party */
} gs_rival;

typedef struct gs_race {
    int32_t party;
    uint32_t demand, sms; /* of the kernel; of the GPU */
    uint64_t slice, change;
    const gs_rival *rivals;
    int count;
} gs_race;

/* Places a kernel that takes `duration` alone: sets the turn, and returns when the kernel ends. */
uint64_t gs_race_end(const gs_race *race, gs_turn *turn, uint64_t start, uint64_t duration);

#endif
