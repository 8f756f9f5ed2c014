/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/context/context.h"

#include "cuda/code/module.h"
#include "cuda/context/channel_group.h"
#include "cuda/core/charge.h"
#include "cuda/core/context.h"
#include "cuda/core/context_value.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/core/mps_client.h"
#include "cuda/memory/allocation.h"
#include "cuda/memory/heap.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/wait.h"
#include "cuda/execution/types.h"
#include "machine/slot.h"

static bool server_holds_gpu(int device)
{
    for (int i = 0; !gs_mps_self() && i < GS_MAX_MPS_SERVERS; i++)
        if (sim.image->servers[i].pid && gs_mps_serves(&sim.image->servers[i], device))
            return true;
    return false;
}

/*
 * Under the image lock: whether the compute mode of the device allows this process a context now.
 */
static CUresult admit(int device)
{
    const gs_device *target = gs_device_of(device);
    CHECK(!target->lost && target->compute_mode != CU_COMPUTEMODE_PROHIBITED,
          CUDA_ERROR_DEVICE_UNAVAILABLE);
    if (target->compute_mode != CU_COMPUTEMODE_EXCLUSIVE_PROCESS)
        return CUDA_SUCCESS;
    gs_image_reap(sim.image);
    CHECK(!server_holds_gpu(device), CUDA_ERROR_DEVICE_UNAVAILABLE);
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *other = &sim.image->slots[i];
        if (other->pid && other != sim.slot && other->use[gs_home(device)].contexts
            && !gs_mps_neighbor(other))
            return CUDA_ERROR_DEVICE_UNAVAILABLE;
    }
    return CUDA_SUCCESS;
}

static CUresult occupy(CUcontext ctx)
{
    gs_image_lock(sim.image);
    CUresult result = admit(ctx->device);
    gs_image_unlock(sim.image);
    TRY(result);
    TRY(gs_charge(ctx->device, gs_device_of(ctx->device)->context_cost, false));
    gs_image_lock(sim.image);
    gs_use_of(ctx->device)->contexts++;
    ctx->fault_seq = gs_device_of(ctx->device)->fault_seq;
    ctx->fault_device = gs_home(ctx->device);
    ctx->server_fault_seq = gs_mps_self() ? sim.image->servers[gs_mps_self()->server].fault_seq : 0;
    gs_image_unlock(sim.image);
    return CUDA_SUCCESS;
}

static CUresult open_context(CUcontext ctx, int ordinal, unsigned int flags)
{
    *ctx = (struct CUctx_st){.ordinal = ordinal,
                             .device = sim.visible[ordinal],
                             .flags = flags,
                             .id = ++sim.next_id,
                             .refs = ctx->refs,
                             .values = ctx->values,
                             .of_runtime = ctx->of_runtime,
                             .primary = ctx->primary};
    TRY(occupy(ctx));
    ctx->limits[CU_LIMIT_STACK_SIZE] = 1024;
    ctx->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
    ctx->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
    ctx->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
    ctx->heap = gs_heap_new(ctx->device, GS_GRANULE);
    ctx->alive = true;
    ctx->streams = gs_stream_new(ctx, 0, 0);
    ctx->streams->legacy = true;
    gs_channel_group_new(ctx);
    return CUDA_SUCCESS;
}

static void close_context(CUcontext ctx)
{
    uint64_t cost = gs_device_of(ctx->device)->context_cost;
    gs_context_values_end(ctx);
    while (ctx->streams)
        gs_stream_free(ctx->streams);
    gs_modules_free(ctx);
    gs_free_of_context(ctx);
    gs_heap_destroy(ctx->heap);
    ctx->alive = false;
    gs_image_lock(sim.image);
    gs_use_of(ctx->device)->contexts--;
    gs_image_unlock(sim.image);
    gs_uncharge(ctx->device, cost, false);
}

static CUcontext primary_handle(int ordinal)
{
    if (!sim.primary[ordinal]) {
        sim.primary[ordinal] = gs_handle_new(KIND_CONTEXT, sizeof(struct CUctx_st));
        sim.primary[ordinal]->primary = true;
    }
    return sim.primary[ordinal];
}

CUresult gs_primary(int ordinal, CUcontext *ctx)
{
    *ctx = primary_handle(ordinal);
    return (*ctx)->alive ? CUDA_SUCCESS : open_context(*ctx, ordinal, sim.primary_flags[ordinal]);
}

CUcontext gs_primary_for_runtime(int ordinal)
{
    CUcontext ctx = primary_handle(ordinal);
    ctx->ordinal = ordinal;
    if (!ctx->of_runtime)
        ctx->refs++;
    ctx->of_runtime = true;
    return ctx;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(ctx, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    TRY(gs_primary(ordinal, ctx));
    (*ctx)->refs++;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    CUcontext ctx = sim.primary[ordinal];
    CHECK(ctx && ctx->refs > 0, CUDA_ERROR_INVALID_CONTEXT);
    if (--ctx->refs > 0 || !ctx->alive)
        return CUDA_SUCCESS;
    gs_context_wait(ctx);
    close_context(ctx);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice ordinal)
{
    return cuDevicePrimaryCtxRelease_v2(ordinal);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    CUcontext ctx = sim.primary[ordinal];
    if (!ctx || !ctx->alive)
        return CUDA_SUCCESS;
    gs_context_wait(ctx);
    close_context(ctx);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxReset(CUdevice ordinal)
{
    return cuDevicePrimaryCtxReset_v2(ordinal);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned int *flags, int *active)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    if (flags)
        *flags = sim.primary_flags[ordinal];
    if (active)
        *active = sim.primary[ordinal] && sim.primary[ordinal]->alive;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned int flags)
{
    gs_device *device;
    ENTER(NEED_INIT);
    TRY(gs_ordinal(ordinal, &device));
    CHECK(!(flags & ~CU_CTX_FLAGS_MASK), CUDA_ERROR_INVALID_VALUE);
    sim.primary_flags[ordinal] = flags;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice ordinal, unsigned int flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(ordinal, flags);
}

static CUresult create(CUcontext *ctx, unsigned int flags, CUdevice ordinal)
{
    gs_device *device;
    CHECK(ctx && !(flags & ~CU_CTX_FLAGS_MASK), CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    CUcontext created = gs_handle_new(KIND_CONTEXT, sizeof *created);
    CUresult result =
        gs_context_push(created) ? open_context(created, ordinal, flags) : CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) {
        *ctx = created;
        return CUDA_SUCCESS;
    }
    if (gs_context_current() == created)
        gs_context_pop();
    gs_handle_free(created);
    return result;
}

CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *affinity, int count,
                        unsigned int flags, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    CHECK(count == 0 || (affinity && gs_mps_self()), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags,
                        CUdevice ordinal)
{
    ENTER(NEED_INIT);
    CHECK(!params || !params->numExecAffinityParams || gs_mps_self(),
          CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    CHECK(!params || !params->cigParams, CUDA_ERROR_NOT_SUPPORTED);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    ENTER(NEED_INIT);
    CHECK(gs_context_alive(ctx) && !ctx->primary, CUDA_ERROR_INVALID_CONTEXT);
    gs_context_wait(ctx);
    close_context(ctx);
    if (gs_context_current() == ctx)
        gs_context_pop();
    gs_handle_free(ctx);
    return CUDA_SUCCESS;
}

CUresult cuCtxDestroy(CUcontext ctx)
{
    return cuCtxDestroy_v2(ctx);
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    ENTER(NEED_INIT);
    CHECK(gs_context_alive(ctx) && gs_context_push(ctx), CUDA_ERROR_INVALID_CONTEXT);
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext ctx)
{
    return cuCtxPushCurrent_v2(ctx);
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
    ENTER(NEED_INIT);
    CUcontext popped = gs_context_pop();
    CHECK(popped, CUDA_ERROR_INVALID_CONTEXT);
    if (ctx)
        *ctx = popped;
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *ctx)
{
    return cuCtxPopCurrent_v2(ctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    ENTER(NEED_INIT);
    if (gs_handle_is(ctx, KIND_CONTEXT) && ctx->of_runtime)
        TRY(gs_primary(ctx->ordinal, &ctx));
    CHECK(!ctx || gs_context_alive(ctx), CUDA_ERROR_INVALID_CONTEXT);
    gs_context_pop();
    if (ctx)
        gs_context_push(ctx);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *ctx)
{
    ENTER(NEED_INIT);
    CHECK(ctx, CUDA_ERROR_INVALID_VALUE);
    *ctx = gs_context_current();
    return CUDA_SUCCESS;
}
