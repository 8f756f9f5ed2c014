/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points for the state of a context: flags, limits, cache preference, peers. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/mps_client.h"
#include "cuda/stream/wait.h"

/* The given context, or the current one for NULL. */
static CUresult resolve(CUcontext *ctx)
{
    *ctx = *ctx ? *ctx : gs_context_current();
    CHECK(*ctx, CUDA_ERROR_INVALID_CONTEXT);
    return gs_context_health(*ctx);
}

/* A function that answers with one value of the current context. */
#define ANSWER(name, type, value)                \
    CUresult name(type *answer)                  \
    {                                            \
        ENTER(NEED_CONTEXT);                     \
        CHECK(answer, CUDA_ERROR_INVALID_VALUE); \
        *answer = value;                         \
        return CUDA_SUCCESS;                     \
    }
ANSWER(cuCtxGetDevice, CUdevice, call.ctx->ordinal)
ANSWER(cuCtxGetFlags, unsigned int, call.ctx->flags)
ANSWER(cuCtxGetCacheConfig, CUfunc_cache, call.ctx->cache)
ANSWER(cuCtxGetSharedMemConfig, CUsharedconfig, CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE)

CUresult cuCtxGetDevice_v2(CUdevice *ordinal, CUcontext ctx)
{
    ENTER(NEED_INIT);
    CHECK(ordinal, CUDA_ERROR_INVALID_VALUE);
    TRY(resolve(&ctx));
    *ordinal = ctx->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(!(flags & ~CU_CTX_FLAGS_MASK), CUDA_ERROR_INVALID_VALUE);
    call.ctx->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
    ENTER(NEED_INIT);
    CHECK(id, CUDA_ERROR_INVALID_VALUE);
    TRY(resolve(&ctx));
    *id = ctx->id;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int *version)
{
    ENTER(NEED_INIT);
    CHECK(version, CUDA_ERROR_INVALID_VALUE);
    TRY(resolve(&ctx));
    *version = 3020;
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
    ENTER(NEED_CONTEXT);
    return gs_context_wait(call.ctx);
}

CUresult cuCtxSynchronize_v2(CUcontext ctx)
{
    ENTER(NEED_INIT);
    TRY(resolve(&ctx));
    return gs_context_wait(ctx);
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    ENTER(NEED_CONTEXT);
    CHECK((int)limit >= 0 && limit < CU_LIMIT_MAX, CUDA_ERROR_INVALID_VALUE);
    call.ctx->limits[limit] = value;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    ENTER(NEED_CONTEXT);
    CHECK(value && (int)limit >= 0 && limit < CU_LIMIT_MAX, CUDA_ERROR_INVALID_VALUE);
    *value = call.ctx->limits[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    ENTER(NEED_CONTEXT);
    call.ctx->cache = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    ENTER(NEED_CONTEXT);
    CHECK(config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE, CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER(NEED_CONTEXT);
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    ENTER(NEED_CONTEXT);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetExecAffinity(CUexecAffinityParam *affinity, CUexecAffinityType type)
{
    ENTER(NEED_CONTEXT);
    CHECK(affinity, CUDA_ERROR_INVALID_VALUE);
    CHECK(type == CU_EXEC_AFFINITY_TYPE_SM_COUNT, CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    affinity->type = type;
    affinity->param.smCount.val = gs_mps_sms(gs_device_of(call.ctx->device));
    return CUDA_SUCCESS;
}

CUresult cuCtxAttach(CUcontext *ctx, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(ctx && flags == 0, CUDA_ERROR_INVALID_VALUE);
    call.ctx->refs++;
    *ctx = call.ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(flags == 0, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_context_health(peer));
    CHECK(peer->device != call.ctx->device, CUDA_ERROR_INVALID_CONTEXT);
    CHECK(!(call.ctx->peers >> peer->ordinal & 1), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
    call.ctx->peers |= 1ull << peer->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    ENTER(NEED_CONTEXT);
    TRY(gs_context_health(peer));
    CHECK(call.ctx->peers >> peer->ordinal & 1, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
    call.ctx->peers &= ~(1ull << peer->ordinal);
    return CUDA_SUCCESS;
}
