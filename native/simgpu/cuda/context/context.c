/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: what they cost, who may have one, which is current. */
#include "cuda/context/channel_group.h"
#include "cuda/core/sim.h"

enum { STACK = 128 };
static __thread CUcontext stack[STACK];
static __thread int depth;

CUcontext gs_context_current(void)
{
    return depth ? stack[depth - 1] : NULL;
}

static bool alive(CUcontext ctx)
{
    return gs_handle_is(ctx, KIND_CONTEXT) && ctx->alive;
}

static CUresult device_health(CUcontext ctx)
{
    const gs_device *device = gs_device_of(ctx->device);
    const gs_device *card = device->parent < 0 ? device : &sim.image->devices[device->parent];
    if (card->lost)
        return CUDA_ERROR_UNKNOWN;
    if (ctx->fault_device != gs_home(ctx->device)) { /* restored elsewhere: old faults of that GPU are not ours */
        ctx->fault_device = gs_home(ctx->device);
        ctx->fault_seq = device->fault_seq;
    }
    if (device->fault_seq == ctx->fault_seq)
        return gs_mps_health(ctx);
    if (device->fault_result && (device->fault_pid == 0 || device->fault_pid == sim.slot->pid))
        return (CUresult)device->fault_result;
    CUresult by_others = gs_mps_health(ctx);
    ctx->fault_seq = device->fault_seq;
    return by_others;
}

/* Once broken a context stays broken, as on a real GPU. */
CUresult gs_context_health(CUcontext ctx)
{
    CHECK(alive(ctx), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    if (!ctx->broken)
        ctx->broken = device_health(ctx);
    return ctx->broken;
}

static bool same_server(const gs_slot *other)
{
    const gs_mps_client *me = gs_mps_me();
    return me && other->mps_client >= 0 && sim.image->clients[other->mps_client].server == me->server;
}

static bool server_holds_gpu(int device)
{
    for (int i = 0; !gs_mps_me() && i < GS_MAX_MPS_SERVERS; i++)
        if (sim.image->servers[i].pid && gs_mps_serves(&sim.image->servers[i], device))
            return true;
    return false;
}

/* Under the image lock: may this process have a context there now? */
static CUresult admit(int device)
{
    const gs_device *target = gs_device_of(device);
    CHECK(!target->lost && target->compute_mode != CU_COMPUTEMODE_PROHIBITED, CUDA_ERROR_DEVICE_UNAVAILABLE);
    if (target->compute_mode != CU_COMPUTEMODE_EXCLUSIVE_PROCESS)
        return CUDA_SUCCESS;
    gs_image_reap(sim.image);
    CHECK(!server_holds_gpu(device), CUDA_ERROR_DEVICE_UNAVAILABLE);
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *other = &sim.image->slots[i];
        if (other->pid && other != sim.slot && other->use[gs_home(device)].contexts && !same_server(other))
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
    ctx->server_fault_seq = gs_mps_me() ? sim.image->servers[gs_mps_me()->server].fault_seq : 0;
    gs_image_unlock(sim.image);
    return CUDA_SUCCESS;
}

static CUresult open_context(CUcontext ctx, int ordinal, unsigned int flags)
{
    *ctx = (struct CUctx_st){.ordinal = ordinal, .device = sim.visible[ordinal], .flags = flags,
                             .id = ++sim.next_id, .primary = ctx->primary};
    TRY(occupy(ctx));
    ctx->limits[CU_LIMIT_STACK_SIZE] = 1024;
    ctx->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
    ctx->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
    ctx->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
    ctx->heap = gs_heap_new(ctx->device, GS_GRANULE);
    ctx->alive = true;
    ctx->streams = gs_stream_new(ctx, 0, 0);
    ctx->streams->legacy = true;
    gs_group_made(ctx);
    return CUDA_SUCCESS;
}

static void close_context(CUcontext ctx)
{
    uint64_t cost = gs_device_of(ctx->device)->context_cost;
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

CUresult gs_primary(int ordinal, CUcontext *ctx)
{
    if (!sim.primary[ordinal]) {
        sim.primary[ordinal] = gs_handle_new(KIND_CONTEXT, sizeof **ctx);
        sim.primary[ordinal]->primary = true;
    }
    *ctx = sim.primary[ordinal];
    return (*ctx)->alive ? CUDA_SUCCESS : open_context(*ctx, ordinal, sim.primary_flags[ordinal]);
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
    if (--ctx->refs > 0)
        return CUDA_SUCCESS;
    gs_context_wait(&call, ctx);
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
    int refs = ctx->refs;
    gs_context_wait(&call, ctx);
    close_context(ctx);
    ctx->refs = refs;
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
    CHECK(depth < STACK, CUDA_ERROR_INVALID_VALUE);
    CUcontext fresh = gs_handle_new(KIND_CONTEXT, sizeof *fresh);
    CUresult result = open_context(fresh, ordinal, flags);
    if (result != CUDA_SUCCESS) {
        gs_handle_free(fresh);
        return result;
    }
    stack[depth++] = *ctx = fresh;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *affinity, int count, unsigned int flags,
                        CUdevice ordinal)
{
    ENTER(NEED_INIT);
    CHECK(count == 0 || (affinity && gs_mps_me()), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    CHECK(!params || !params->numExecAffinityParams || gs_mps_me(), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    CHECK(!params || !params->cigParams, CUDA_ERROR_NOT_SUPPORTED);
    return create(ctx, flags, ordinal);
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    ENTER(NEED_INIT);
    CHECK(alive(ctx) && !ctx->primary, CUDA_ERROR_INVALID_CONTEXT);
    gs_context_wait(&call, ctx);
    close_context(ctx);
    if (depth && stack[depth - 1] == ctx)
        depth--;
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
    CHECK(alive(ctx) && depth < STACK, CUDA_ERROR_INVALID_CONTEXT);
    stack[depth++] = ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext ctx)
{
    return cuCtxPushCurrent_v2(ctx);
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
    ENTER(NEED_INIT);
    CHECK(depth && stack[depth - 1], CUDA_ERROR_INVALID_CONTEXT);
    depth--;
    if (ctx)
        *ctx = stack[depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *ctx)
{
    return cuCtxPopCurrent_v2(ctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    ENTER(NEED_INIT);
    CHECK(!ctx || alive(ctx), CUDA_ERROR_INVALID_CONTEXT);
    if (depth)
        depth--;
    if (ctx)
        stack[depth++] = ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *ctx)
{
    ENTER(NEED_INIT);
    CHECK(ctx, CUDA_ERROR_INVALID_VALUE);
    *ctx = gs_context_current();
    return CUDA_SUCCESS;
}
