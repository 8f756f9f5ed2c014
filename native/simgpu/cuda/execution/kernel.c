/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/kernel.h"

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/handle.h"
#include "cuda/memory/arena.h"
#include "cuda/memory/range.h"
#include "cuda/execution/in_flight.h"

static const void *parameter(const gs_kernel *kernel, int i)
{
    return kernel->params + kernel->function->offset[i];
}

static uint64_t u64(const gs_kernel *kernel, int i)
{
    uint64_t value;
    memcpy(&value, parameter(kernel, i), sizeof value);
    return value;
}

static uint32_t u32(const gs_kernel *kernel, int i)
{
    uint32_t value;
    memcpy(&value, parameter(kernel, i), sizeof value);
    return value;
}

static bool named(const gs_kernel *kernel, const char *name, int params)
{
    return strcmp(kernel->function->name, name) == 0 && kernel->function->params == params;
}

uint64_t gs_kernel_threads(const gs_kernel *kernel)
{
    return (uint64_t)kernel->block[0] * kernel->block[1] * kernel->block[2];
}

static uint64_t blocks_of(const gs_kernel *kernel)
{
    return (uint64_t)kernel->grid[0] * kernel->grid[1] * kernel->grid[2];
}

uint32_t gs_kernel_sms(CUcontext ctx, const gs_kernel *kernel)
{
    const gs_device *device = gs_device_of(ctx->device);
    uint64_t per_sm = MAX(1, device->threads_per_sm / MAX(gs_kernel_threads(kernel), 1));
    return (uint32_t)MIN(device->sms, (blocks_of(kernel) + per_sm - 1) / per_sm);
}

uint64_t gs_kernel_ns(CUcontext ctx, const gs_kernel *kernel)
{
    const gs_device *device = gs_device_of(ctx->device);
    uint64_t threads = gs_kernel_threads(kernel) * blocks_of(kernel);
    uint64_t at_once = (uint64_t)MAX(device->sms, 1u) * MAX(device->threads_per_sm, 1u);
    if (strstr(kernel->function->name, "spin") && kernel->size >= 8)
        return u64(kernel, 0);
    return 2000 + (threads + at_once - 1) / at_once * 2000;
}

static bool mapped(CUdeviceptr at, uint64_t size)
{
    while (size > 0) {
        const gs_range *range = gs_range_find(at);
        if (!range)
            return false;
        uint64_t here = MIN(size, range->base + range->size - at);
        at += here;
        size -= here;
    }
    return true;
}

static void fill(CUcontext ctx, CUdeviceptr at, uint32_t value, uint64_t words, uint64_t until)
{
    uint32_t *to = gs_bytes(at);
    if (!mapped(at, words * 4)) {
        gs_illegal_address(ctx);
        return;
    }
    for (uint64_t i = 0; i < words; i++)
        to[i] = value;
    gs_in_flight(ctx, at, words * 4, until);
}

static void saxpy(CUcontext ctx, const gs_kernel *kernel, uint64_t until)
{
    CUdeviceptr y = u64(kernel, 0), x = u64(kernel, 1);
    uint64_t n = u64(kernel, 3);
    float a, *to = gs_bytes(y);
    const float *from = gs_bytes(x);
    memcpy(&a, parameter(kernel, 2), sizeof a);
    if (!mapped(y, n * 4) || !mapped(x, n * 4)) {
        gs_illegal_address(ctx);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        to[i] += a * from[i];
    gs_in_flight(ctx, y, n * 4, until);
    gs_in_flight(ctx, x, n * 4, until);
}

void gs_kernel_run(CUcontext ctx, const gs_kernel *kernel, uint64_t until)
{
    if (named(kernel, "gs_fill", 3))
        fill(ctx, u64(kernel, 0), u32(kernel, 1), u64(kernel, 2), until);
    else if (named(kernel, "gs_poke", 2))
        fill(ctx, u64(kernel, 0), u32(kernel, 1), 1, until);
    else if (named(kernel, "gs_saxpy", 4))
        saxpy(ctx, kernel, until);
}

static CUresult from_buffer(void **extra, gs_kernel *kernel)
{
    const void *buffer = NULL;
    for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2)
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            kernel->size = *(const size_t *)extra[i + 1];
    CHECK(buffer || !kernel->size, CUDA_ERROR_INVALID_VALUE);
    kernel->params = malloc(kernel->size + 1);
    if (kernel->size)
        memcpy(kernel->params, buffer, kernel->size);
    return CUDA_SUCCESS;
}

/* Parameters are copied during the call: the caller may reuse its memory immediately. */
CUresult gs_kernel_pack(CUcontext ctx, CUfunction function, void **params, void **extra,
                        gs_kernel *kernel)
{
    CHECK(gs_handle_is(function, KIND_FUNCTION), CUDA_ERROR_INVALID_HANDLE);
    CHECK(function->library || function->ctx == ctx, CUDA_ERROR_INVALID_HANDLE);
    CHECK(!params || !extra, CUDA_ERROR_INVALID_VALUE);
    kernel->function = function;
    if (extra)
        return from_buffer(extra, kernel);
    int count = function->params;
    if (count < 0) /* unknown binary: only the duration of a spin kernel is read */
        count = params && strstr(function->name, "spin") ? 1 : 0;
    CHECK(params || count == 0, CUDA_ERROR_INVALID_VALUE);
    if (function->params < 0 && count) {
        function->offset[0] = 0;
        function->size[0] = 8;
    }
    kernel->size = count ? function->offset[count - 1] + function->size[count - 1] : 0;
    kernel->params = calloc(1, kernel->size + 1);
    for (int i = 0; i < count; i++)
        memcpy(kernel->params + function->offset[i], params[i], function->size[i]);
    return CUDA_SUCCESS;
}
