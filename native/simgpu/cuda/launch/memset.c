/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of cuMemset*: all become one operation on a stream. */
#include "cuda/core/entry.h"
#include "cuda/graph/op.h"
#include "cuda/stream/capture.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"
#include "cuda/execution/copy.h"

static CUresult fill(CUcontext ctx, CUstream handle, CUDA_MEMSET_NODE_PARAMS params)
{
    CUstream stream;
    TRY(gs_stream_of(ctx, handle, &stream));
    CHECK(params.dst % params.elementSize == 0, CUDA_ERROR_INVALID_VALUE);
    if (!params.width || !params.height)
        return CUDA_SUCCESS;
    if (params.height == 1)
        params.pitch = params.width * params.elementSize;
    TRY(gs_memset_check(&params));
    gs_op op = {.type = OP_MEMSET, .memset = params};
    return gs_submit(ctx, stream, &op);
}

/*
 * The synchronous forms do not wait: cuMemset on device memory is asynchronous with respect to the
 * host.
 */
#define FLAT(bits, type)                                                                          \
    CUresult cuMemsetD##bits##_v2(CUdeviceptr at, type value, size_t n)                           \
    {                                                                                             \
        ENTER(NEED_CONTEXT);                                                                      \
        TRY(gs_capture_unsafe());                                                                 \
        return fill(call.ctx, NULL, (CUDA_MEMSET_NODE_PARAMS){at, 0, value, bits / 8, n, 1});     \
    }                                                                                             \
    CUresult cuMemsetD##bits##Async(CUdeviceptr at, type value, size_t n, CUstream stream)        \
    {                                                                                             \
        ENTER(NEED_CONTEXT);                                                                      \
        return fill(call.ctx, stream, (CUDA_MEMSET_NODE_PARAMS){at, 0, value, bits / 8, n, 1});   \
    }                                                                                             \
    CUresult cuMemsetD2D##bits##_v2(CUdeviceptr at, size_t pitch, type value, size_t w, size_t h) \
    {                                                                                             \
        ENTER(NEED_CONTEXT);                                                                      \
        TRY(gs_capture_unsafe());                                                                 \
        return fill(call.ctx, NULL, (CUDA_MEMSET_NODE_PARAMS){at, pitch, value, bits / 8, w, h}); \
    }                                                                                             \
    CUresult cuMemsetD2D##bits##Async(CUdeviceptr at, size_t pitch, type value, size_t w,         \
                                      size_t h, CUstream stream)                                  \
    {                                                                                             \
        ENTER(NEED_CONTEXT);                                                                      \
        return fill(call.ctx, stream,                                                             \
                    (CUDA_MEMSET_NODE_PARAMS){at, pitch, value, bits / 8, w, h});                 \
    }
FLAT(8, unsigned char)
FLAT(16, unsigned short)
FLAT(32, unsigned int)
