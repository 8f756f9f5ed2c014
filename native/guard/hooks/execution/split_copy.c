/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between host and GPU, which can take long. Next to high-priority work a large copy is
 * split into parts with fences between them. In one stream the parts have the same effect as the
 * whole copy.
 */
#include "driver/quiesce.h"
#include "schedule/gate.h"

enum { PART_BYTES = 8 << 20 };

static size_t part(size_t bytes, size_t done)
{
    return bytes - done < PART_BYTES ? bytes - done : PART_BYTES;
}

#define GATED(on, bytes, call)                                                     \
    ({                                                                             \
        struct gs_pass pass = {.stream = on, .key = gs_kind("copy", bytes >> 20)}; \
        gs_gate_wait(pass.stream);                                                 \
        gs_enter();                                                                \
        gs_gate_before(&pass);                                                     \
        CUresult outcome = call;                                                   \
        gs_gate_after(&pass, outcome);                                             \
        gs_leave();                                                                \
        outcome;                                                                   \
    })

#define SPLIT(symbol, on, to_type, from_type)                                             \
    CUresult symbol(to_type to, from_type from, size_t bytes, CUstream s)                 \
    {                                                                                     \
        CUresult result = CUDA_SUCCESS;                                                   \
        if (__builtin_expect(gs_gate_armed, 0))                                           \
            gs_gate_copies(on);                                                           \
        if (bytes <= PART_BYTES || !gs_gate_armed || !gs_gate_splits(on))                 \
            return GS_INSIDE(cuda()->symbol(to, from, bytes, s));                         \
        for (size_t done = 0; done < bytes && result == CUDA_SUCCESS; done += PART_BYTES) \
            result = GATED(on, part(bytes, done),                                         \
                           cuda()->symbol(to + done, from + done, part(bytes, done), s)); \
        return result;                                                                    \
    }

static inline CUstream own(CUstream stream)
{
    return stream ? stream : CU_STREAM_PER_THREAD;
}

SPLIT(cuMemcpyAsync, s, CUdeviceptr, CUdeviceptr)
SPLIT(cuMemcpyAsync_ptsz, own(s), CUdeviceptr, CUdeviceptr)
SPLIT(cuMemcpyHtoDAsync_v2, s, CUdeviceptr, const void *)
SPLIT(cuMemcpyHtoDAsync_v2_ptsz, own(s), CUdeviceptr, const void *)
SPLIT(cuMemcpyDtoHAsync_v2, s, void *, CUdeviceptr)
SPLIT(cuMemcpyDtoHAsync_v2_ptsz, own(s), void *, CUdeviceptr)
