/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a launch needs a fence in front of it: one before the quantum of GPU time since the last
 * one would be exceeded. A launch whose length is not known counts as a whole quantum.
 *
 * Owner: gate.c, on the way of every gated launch, hence inline. Pure: no clock, no page, no
 * driver.
 * Threads: any. Limits: times in ns.
 */
#ifndef GS_FENCE_STEP_H
#define GS_FENCE_STEP_H

#include <stdbool.h>
#include <stdint.h>

struct gs_fence_decision {
    bool fence;
    uint64_t load; /* of the stream, this launch included */
};

/* `load`: GPU time queued in the stream since its last fence; `known`: that of the launch, or 0. */
static inline struct gs_fence_decision gs_fence_step(uint64_t load, uint64_t known,
                                                     uint64_t quantum, bool gpu_waits)
{
    uint64_t ns = known ? known : quantum;
    bool fence = load + ns > quantum && gpu_waits;
    return (struct gs_fence_decision){fence, fence ? ns : load + ns};
}

#endif
