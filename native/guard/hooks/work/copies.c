/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, fills and writes by streams: they touch memory, so they wait while it is away. */
#include "driver/quiesce.h"
#include "driver/real.h"
#include "schedule/gate.h"

#define INSIDE(symbol, params, args)           \
    CUresult symbol params                     \
    {                                          \
        gs_enter();                            \
        CUresult result = cuda()->symbol args; \
        gs_leave();                            \
        return result;                         \
    }
#define PTSZ(name, symbol, since, params, args) \
    INSIDE(symbol, params, args)                \
    INSIDE(symbol##_ptsz, params, args)
/* These wait for the GPU, most of them: after them the guard may know that it is idle. */
#define WAITING(symbol, params, args)           \
    CUresult symbol params                      \
    {                                           \
        gs_enter();                             \
        CUresult result = cuda()->symbol args;  \
        gs_leave();                             \
        if (__builtin_expect(gs_gate_armed, 0)) \
            gs_gate_sync_ended(NULL);           \
        return result;                          \
    }
#define PTDS(name, symbol, since, params, args) \
    WAITING(symbol, params, args)               \
    WAITING(symbol##_ptds, params, args)
#include "cuda/api/copy.def"
#include "cuda/api/memop.def"
