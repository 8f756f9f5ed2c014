/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/in_flight.h"

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/handle.h"
#include "cuda/execution/timeline.h"
#include "machine/fault.h"

void gs_in_flight(CUcontext ctx, CUdeviceptr at, uint64_t size, uint64_t until)
{
    for (CUdeviceptr end = at + size; at < end;) {
        gs_range *range = gs_range_find(at);
        if (!range)
            return;
        if (until > range->used_until) {
            range->used_until = until;
            range->user = ctx;
        }
        at = range->base + range->size;
    }
}

void gs_in_flight_unmap(const gs_range *range)
{
    if (range->used_until > gs_now_ns() && gs_handle_is(range->user, KIND_CONTEXT))
        gs_illegal_address(range->user);
}

void gs_illegal_address(CUcontext ctx)
{
    gs_image_lock(sim.image);
    gs_device_fault(sim.image, gs_home(ctx->device), sim.slot->pid, 31, CUDA_ERROR_ILLEGAL_ADDRESS);
    gs_image_unlock(sim.image);
}
