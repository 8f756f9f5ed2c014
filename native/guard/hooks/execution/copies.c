/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, fills and stream memory operations: they touch memory, so they wait while it is away. */
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
/* Most of these wait for the GPU, so after them its work may be known to be complete. */
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
