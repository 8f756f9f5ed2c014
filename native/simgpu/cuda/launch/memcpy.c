/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of cuMemcpy*: all become one operation on a stream. */
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/graph/op.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"
#include "cuda/stream/wait.h"
#include "cuda/execution/copy.h"

static CUresult async(CUcontext ctx, CUstream handle, const CUDA_MEMCPY3D *copy)
{
    CUstream stream;
    TRY(gs_stream_of(ctx, handle, &stream));
    TRY(gs_copy_check(copy));
    if (!copy->WidthInBytes || !copy->Height || !copy->Depth)
        return CUDA_SUCCESS;
    gs_op op = {.type = OP_COPY, .copy = *copy};
    return gs_submit(ctx, stream, &op);
}

static CUresult sync(CUcontext ctx, const CUDA_MEMCPY3D *copy)
{
    CUstream stream;
    TRY(gs_capture_unsafe());
    TRY(gs_stream_of(ctx, NULL, &stream));
    TRY(async(ctx, NULL, copy));
    return gs_stream_wait(stream);
}

static CUDA_MEMCPY3D typed(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type,
                           CUdeviceptr from, size_t n)
{
    CUDA_MEMCPY3D copy = gs_copy_linear(to, from, n);
    copy.srcMemoryType = from_type;
    copy.dstMemoryType = to_type;
    copy.srcHost = (const void *)(uintptr_t)from;
    copy.dstHost = (void *)(uintptr_t)to;
    return copy;
}

#define HOST(pointer) CU_MEMORYTYPE_HOST, (uintptr_t)(pointer)
#define DEVICE(pointer) CU_MEMORYTYPE_DEVICE, (pointer)
#define ANY(pointer) CU_MEMORYTYPE_UNIFIED, (pointer)

#define LINEAR(name, async_name, TO, FROM, to_type, from_type)                 \
    CUresult name(to_type to, from_type from, size_t n)                        \
    {                                                                          \
        ENTER(NEED_CONTEXT);                                                   \
        CUDA_MEMCPY3D copy = typed(TO(to), FROM(from), n);                     \
        return sync(call.ctx, &copy);                                          \
    }                                                                          \
    CUresult async_name(to_type to, from_type from, size_t n, CUstream stream) \
    {                                                                          \
        ENTER(NEED_CONTEXT);                                                   \
        CUDA_MEMCPY3D copy = typed(TO(to), FROM(from), n);                     \
        return async(call.ctx, stream, &copy);                                 \
    }
LINEAR(cuMemcpy, cuMemcpyAsync, ANY, ANY, CUdeviceptr, CUdeviceptr)
LINEAR(cuMemcpyHtoD_v2, cuMemcpyHtoDAsync_v2, DEVICE, HOST, CUdeviceptr, const void *)
LINEAR(cuMemcpyDtoH_v2, cuMemcpyDtoHAsync_v2, HOST, DEVICE, void *, CUdeviceptr)
LINEAR(cuMemcpyDtoD_v2, cuMemcpyDtoDAsync_v2, DEVICE, DEVICE, CUdeviceptr, CUdeviceptr)

CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext to_ctx, CUdeviceptr from, CUcontext from_ctx,
                      size_t n)
{
    ENTER(NEED_CONTEXT);
    TRY(gs_context_health(to_ctx));
    TRY(gs_context_health(from_ctx));
    CUDA_MEMCPY3D copy = typed(DEVICE(to), DEVICE(from), n);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_ctx, CUdeviceptr from, CUcontext from_ctx,
                           size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    TRY(gs_context_health(to_ctx));
    TRY(gs_context_health(from_ctx));
    CUDA_MEMCPY3D copy = typed(DEVICE(to), DEVICE(from), n);
    return async(call.ctx, stream, &copy);
}

static CUDA_MEMCPY3D array_side(CUDA_MEMCPY3D copy, CUarray to, size_t to_at, CUarray from,
                                size_t from_at)
{
    if (to) {
        copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
        copy.dstArray = to;
        copy.dstXInBytes = to_at;
    }
    if (from) {
        copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
        copy.srcArray = from;
        copy.srcXInBytes = from_at;
    }
    return copy;
}

CUresult cuMemcpyDtoA_v2(CUarray to, size_t at, CUdeviceptr from, size_t n)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(DEVICE(0), DEVICE(from), n), to, at, NULL, 0);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyAtoD_v2(CUdeviceptr to, CUarray from, size_t at, size_t n)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(DEVICE(to), DEVICE(0), n), NULL, 0, from, at);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyHtoA_v2(CUarray to, size_t at, const void *from, size_t n)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(DEVICE(0), HOST(from), n), to, at, NULL, 0);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyAtoH_v2(void *to, CUarray from, size_t at, size_t n)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(HOST(to), DEVICE(0), n), NULL, 0, from, at);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyAtoA_v2(CUarray to, size_t to_at, CUarray from, size_t from_at, size_t n)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(DEVICE(0), DEVICE(0), n), to, to_at, from, from_at);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpyHtoAAsync_v2(CUarray to, size_t at, const void *from, size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(DEVICE(0), HOST(from), n), to, at, NULL, 0);
    return async(call.ctx, stream, &copy);
}

CUresult cuMemcpyAtoHAsync_v2(void *to, CUarray from, size_t at, size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CUDA_MEMCPY3D copy = array_side(typed(HOST(to), DEVICE(0), n), NULL, 0, from, at);
    return async(call.ctx, stream, &copy);
}

static CUDA_MEMCPY3D from_2d(const CUDA_MEMCPY2D *flat)
{
    return (CUDA_MEMCPY3D){.srcXInBytes = flat->srcXInBytes,
                           .srcY = flat->srcY,
                           .srcMemoryType = flat->srcMemoryType,
                           .srcHost = flat->srcHost,
                           .srcDevice = flat->srcDevice,
                           .srcArray = flat->srcArray,
                           .srcPitch = flat->srcPitch,
                           .dstXInBytes = flat->dstXInBytes,
                           .dstY = flat->dstY,
                           .dstMemoryType = flat->dstMemoryType,
                           .dstHost = flat->dstHost,
                           .dstDevice = flat->dstDevice,
                           .dstArray = flat->dstArray,
                           .dstPitch = flat->dstPitch,
                           .WidthInBytes = flat->WidthInBytes,
                           .Height = flat->Height,
                           .Depth = 1};
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *flat)
{
    ENTER(NEED_CONTEXT);
    CHECK(flat, CUDA_ERROR_INVALID_VALUE);
    CUDA_MEMCPY3D copy = from_2d(flat);
    return sync(call.ctx, &copy);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *flat)
{
    return cuMemcpy2D_v2(flat);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *flat, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CHECK(flat, CUDA_ERROR_INVALID_VALUE);
    CUDA_MEMCPY3D copy = from_2d(flat);
    return async(call.ctx, stream, &copy);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
    ENTER(NEED_CONTEXT);
    CHECK(copy, CUDA_ERROR_INVALID_VALUE);
    return sync(call.ctx, copy);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    CHECK(copy, CUDA_ERROR_INVALID_VALUE);
    return async(call.ctx, stream, copy);
}

/* The peer form adds only the two contexts, which unified addressing makes unnecessary. */
CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *copy)
{
    _Static_assert(sizeof(CUDA_MEMCPY3D_PEER) == sizeof(CUDA_MEMCPY3D), "same layout");
    return cuMemcpy3D_v2((const CUDA_MEMCPY3D *)copy);
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *copy, CUstream stream)
{
    return cuMemcpy3DAsync_v2((const CUDA_MEMCPY3D *)copy, stream);
}

CUresult cuMemcpyBatchAsync_v2(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t count,
                               CUmemcpyAttributes *attributes, size_t *which,
                               size_t attribute_count, CUstream stream)
{
    (void)attributes, (void)which, (void)attribute_count;
    ENTER(NEED_CONTEXT);
    CHECK(to && from && sizes && stream, CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < count; i++) {
        CUDA_MEMCPY3D copy = gs_copy_linear(to[i], from[i], sizes[i]);
        TRY(async(call.ctx, stream, &copy));
    }
    return CUDA_SUCCESS;
}

CUresult cuMemcpyBatchAsync(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t count,
                            CUmemcpyAttributes *attributes, size_t *which, size_t attribute_count,
                            size_t *failed, CUstream stream)
{
    CUresult result =
        cuMemcpyBatchAsync_v2(to, from, sizes, count, attributes, which, attribute_count, stream);
    /* "not attributable to one copy". */
    if (result != CUDA_SUCCESS && failed)
        *failed = SIZE_MAX;
    return result;
}
