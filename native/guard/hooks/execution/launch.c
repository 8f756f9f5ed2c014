/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks that queue kernels and graphs. */
#include "hooks/execution/launch.h"
#include "driver/quiesce.h"
#include "schedule/gate.h"

/* A macro, so that the launch itself is a plain call, as without the guard. */
#define LAUNCH(on, what, blocks, call)                    \
    do {                                                  \
        struct gs_pass pass = {.stream = on, .key = 0};   \
        if (__builtin_expect(gs_gate_armed, 0)) {         \
            pass.key = gs_kind(what, blocks);             \
            gs_gate_wait(pass.stream);                    \
        }                                                 \
        gs_enter();                                       \
        if (__builtin_expect(gs_gate_armed, 0))           \
            gs_gate_before(&pass);                        \
        CUresult result = call;                           \
        if (__builtin_expect(pass.attachment != NULL, 0)) \
            gs_gate_after(&pass, result);                 \
        gs_leave();                                       \
        return result;                                    \
    } while (0)

static inline CUstream own(CUstream stream)
{
    return stream ? stream : CU_STREAM_PER_THREAD;
}

static inline uint64_t blocks_of(const CUlaunchConfig *config)
{
    return config ? (uint64_t)config->gridDimX * config->gridDimY * config->gridDimZ : 0;
}

#define KERNEL(symbol, on)                                                                  \
    CUresult symbol(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz,        \
                    unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared, \
                    CUstream s, void **params, void **extra)                                \
    {                                                                                       \
        LAUNCH(on, f, (uint64_t)gx * gy * gz,                                               \
               cuda()->symbol(f, gx, gy, gz, bx, by, bz, shared, s, params, extra));        \
    }
KERNEL(cuLaunchKernel, s)
KERNEL(cuLaunchKernel_ptsz, own(s))

#define EXTENDED(symbol, on)                                                                 \
    CUresult symbol(const CUlaunchConfig *config, CUfunction f, void **params, void **extra) \
    {                                                                                        \
        CUstream s = config ? config->hStream : NULL;                                        \
        LAUNCH(on, f, blocks_of(config), cuda()->symbol(config, f, params, extra));          \
    }
EXTENDED(cuLaunchKernelEx, s)
EXTENDED(cuLaunchKernelEx_ptsz, own(s))

#define COOPERATIVE(symbol, on)                                                             \
    CUresult symbol(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz,        \
                    unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared, \
                    CUstream s, void **params)                                              \
    {                                                                                       \
        LAUNCH(on, f, (uint64_t)gx * gy * gz,                                               \
               cuda()->symbol(f, gx, gy, gz, bx, by, bz, shared, s, params));               \
    }
COOPERATIVE(cuLaunchCooperativeKernel, s)
COOPERATIVE(cuLaunchCooperativeKernel_ptsz, own(s))

/* One kernel on each of several GPUs; only the gate of the first is checked. */
CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *list, unsigned int count,
                                              unsigned int flags)
{
    LAUNCH(count && list ? list->hStream : NULL, count && list ? list->function : NULL, count,
           cuda()->cuLaunchCooperativeKernelMultiDevice(list, count, flags));
}

CUresult gs_launch_graph(gs_graph_call *call, CUgraphExec graph, CUstream stream, CUstream actual)
{
    LAUNCH(actual, graph, 0, call(graph, stream));
}
