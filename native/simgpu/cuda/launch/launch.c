/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points of launches, host callbacks, and values that streams write and wait for. */
#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/mps_client.h"
#include "cuda/memory/range.h"
#include "cuda/stream/stream.h"
#include "cuda/stream/submit.h"
#include "cuda/execution/kernel.h"
#include "cuda/execution/types.h"

static CUresult geometry(const gs_kernel *kernel)
{
    uint64_t threads = gs_kernel_threads(kernel);
    CHECK(kernel->grid[0] && kernel->grid[1] && kernel->grid[2] && threads,
          CUDA_ERROR_INVALID_VALUE);
    CHECK(kernel->grid[0] <= 0x7fffffff && kernel->grid[1] <= 65535 && kernel->grid[2] <= 65535,
          CUDA_ERROR_INVALID_VALUE);
    CHECK(threads <= 1024 && kernel->block[2] <= 64, CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

static CUresult launch(CUcontext ctx, CUfunction function, gs_kernel kernel, CUstream handle,
                       void **params, void **extra)
{
    CUstream stream;
    TRY(geometry(&kernel));
    TRY(gs_stream_of(ctx, handle, &stream));
    TRY(gs_kernel_pack(ctx, function, params, extra, &kernel));
    if (kernel.shared > gs_device_of(ctx->device)->shared_optin) {
        free(kernel.params);
        return CUDA_ERROR_INVALID_VALUE;
    }
    gs_op op = {.type = OP_KERNEL, .kernel = kernel};
    return gs_submit(stream->ctx, stream, &op);
}

CUresult cuLaunchKernel(CUfunction function, unsigned int gx, unsigned int gy, unsigned int gz,
                        unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared,
                        CUstream stream, void **params, void **extra)
{
    ENTER(NEED_CONTEXT);
    gs_kernel kernel = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    return launch(call.ctx, function, kernel, stream, params, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **params,
                          void **extra)
{
    ENTER(NEED_CONTEXT);
    CHECK(config && (config->attrs || !config->numAttrs), CUDA_ERROR_INVALID_VALUE);
    gs_kernel kernel = {.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                        .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                        .shared = config->sharedMemBytes};
    return launch(call.ctx, function, kernel, config->hStream, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int gx, unsigned int gy,
                                   unsigned int gz, unsigned int bx, unsigned int by,
                                   unsigned int bz, unsigned int shared, CUstream stream,
                                   void **params)
{
    ENTER(NEED_CONTEXT);
    const gs_device *device = gs_device_of(call.ctx->device);
    uint64_t threads = (uint64_t)bx * by * bz, blocks = (uint64_t)gx * gy * gz;
    uint64_t resident =
        (uint64_t)gs_mps_sms(device) * MAX(1, device->threads_per_sm / MAX(threads, 1));
    CHECK(blocks <= resident, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    gs_kernel kernel = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    return launch(call.ctx, function, kernel, stream, params, NULL);
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void *data)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(function, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    gs_op op = {.type = OP_HOST, .host = {.call = function, .data = data}};
    return gs_submit(stream->ctx, stream, &op);
}

CUresult cuStreamAddCallback(CUstream handle, CUstreamCallback callback, void *data,
                             unsigned int flags)
{
    CUstream stream;
    ENTER(NEED_CONTEXT);
    CHECK(callback && flags == 0, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_stream_of(call.ctx, handle, &stream));
    CHECK(!stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    gs_op op = {.type = OP_HOST, .host = {.callback = callback, .stream = handle, .data = data}};
    return gs_submit(stream->ctx, stream, &op);
}

static CUresult value(CUcontext ctx, CUstream handle, CUstreamMemOpValueParams params)
{
    CUstream stream;
    bool wide = params.operation == CU_STREAM_MEM_OP_WAIT_VALUE_64
                || params.operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;
    bool wait = params.operation == CU_STREAM_MEM_OP_WAIT_VALUE_32
                || params.operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
    TRY(gs_stream_of(ctx, handle, &stream));
    CHECK(gs_range_find(params.address) && params.address % (wide ? 8 : 4) == 0,
          CUDA_ERROR_INVALID_VALUE);
    gs_op op = {.type = wait ? OP_VALUE_WAIT : OP_VALUE_WRITE, .value = params};
    return gs_submit(stream->ctx, stream, &op);
}

#define VALUE(name, width, op, field)                                                            \
    CUresult name(CUstream stream, CUdeviceptr at, cuuint##width##_t number, unsigned int flags) \
    {                                                                                            \
        ENTER(NEED_CONTEXT);                                                                     \
        return value(call.ctx, stream,                                                           \
                     (CUstreamMemOpValueParams){                                                 \
                         .operation = op, .address = at, .field = number, .flags = flags});      \
    }
VALUE(cuStreamWaitValue32_v2, 32, CU_STREAM_MEM_OP_WAIT_VALUE_32, value)
VALUE(cuStreamWaitValue64_v2, 64, CU_STREAM_MEM_OP_WAIT_VALUE_64, value64)
VALUE(cuStreamWriteValue32_v2, 32, CU_STREAM_MEM_OP_WRITE_VALUE_32, value)
VALUE(cuStreamWriteValue64_v2, 64, CU_STREAM_MEM_OP_WRITE_VALUE_64, value64)
VALUE(cuStreamWaitValue32, 32, CU_STREAM_MEM_OP_WAIT_VALUE_32, value)
VALUE(cuStreamWaitValue64, 64, CU_STREAM_MEM_OP_WAIT_VALUE_64, value64)
VALUE(cuStreamWriteValue32, 32, CU_STREAM_MEM_OP_WRITE_VALUE_32, value)
VALUE(cuStreamWriteValue64, 64, CU_STREAM_MEM_OP_WRITE_VALUE_64, value64)

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams *ops,
                               unsigned int flags)
{
    ENTER(NEED_CONTEXT);
    CHECK(ops && count <= 256 && flags == 0, CUDA_ERROR_INVALID_VALUE);
    for (unsigned int i = 0; i < count; i++)
        if (ops[i].operation != CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES
            && ops[i].operation != CU_STREAM_MEM_OP_BARRIER)
            TRY(value(call.ctx, stream, ops[i].waitValue));
    return CUDA_SUCCESS;
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams *ops,
                            unsigned int flags)
{
    return cuStreamBatchMemOp_v2(stream, count, ops, flags);
}
