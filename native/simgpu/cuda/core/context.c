/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/context.h"

#include "cuda/core/device.h"
#include "cuda/core/handle.h"
#include "cuda/core/mps_client.h"

enum { STACK = 128 };
static __thread CUcontext stack[STACK];
static __thread int depth;

CUcontext gs_context_current(void)
{
    return depth ? stack[depth - 1] : NULL;
}

bool gs_context_push(CUcontext ctx)
{
    if (depth == STACK)
        return false;
    stack[depth++] = ctx;
    return true;
}

CUcontext gs_context_pop(void)
{
    return depth ? stack[--depth] : NULL;
}

bool gs_context_alive(CUcontext ctx)
{
    return gs_handle_is(ctx, KIND_CONTEXT) && ctx->alive;
}

static CUresult device_health(CUcontext ctx)
{
    const gs_device *device = gs_device_of(ctx->device);
    const gs_device *gpu = device->parent < 0 ? device : &sim.image->devices[device->parent];
    if (gpu->lost)
        return CUDA_ERROR_UNKNOWN;
    if (ctx->fault_device
        != gs_home(
            /* Restored on another GPU: its old faults do not concern this context. */
            ctx->device)) {
        ctx->fault_device = gs_home(ctx->device);
        ctx->fault_seq = device->fault_seq;
    }
    if (device->fault_seq == ctx->fault_seq)
        return gs_mps_health(&ctx->server_fault_seq);
    if (device->fault_result && (device->fault_pid == 0 || device->fault_pid == sim.slot->pid))
        return (CUresult)device->fault_result;
    CUresult of_server = gs_mps_health(&ctx->server_fault_seq);
    ctx->fault_seq = device->fault_seq;
    return of_server;
}

CUresult gs_context_health(CUcontext ctx)
{
    CHECK(gs_context_alive(ctx), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    if (!ctx->broken)
        ctx->broken = device_health(ctx);
    return ctx->broken;
}
