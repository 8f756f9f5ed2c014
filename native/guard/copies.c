/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, fills and writes by streams: they touch memory, so they wait while it is away. */
#include "halt.h"
#include "originals.h"

#define INSIDE(symbol, params, args)            \
    CUresult symbol params                      \
    {                                           \
        gs_enter();                             \
        CUresult result = cuda()->symbol args;  \
        gs_leave();                             \
        return result;                          \
    }
#define PTSZ(name, symbol, since, params, args) \
    INSIDE(symbol, params, args)                \
    INSIDE(symbol##_ptsz, params, args)
#define PTDS(name, symbol, since, params, args) \
    INSIDE(symbol, params, args)                \
    INSIDE(symbol##_ptds, params, args)
#include "cuda/api/copy.def"
#include "cuda/api/memop.def"
