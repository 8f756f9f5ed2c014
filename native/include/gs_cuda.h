/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: declarations of the CUDA driver ABI (CUDA 13.0), so that everything builds without a
 *   toolkit.
 * Owner: NVIDIA defines the ABI. Names, numbers and layouts are facts; no text of theirs is copied.
 * Threads: declarations only.
 * Limits: the functions of cuda/api.def. Where a toolkit is installed, `make test` compares constants,
 *   layouts and prototypes with its cuda.h.
 *
 * Every row of cuda/api.def becomes a prototype and a function type `<symbol>_fn`
 * (`cuMemAlloc_v2_fn *real = dlsym(...)`). Unlike NVIDIA's header this one renames nothing by macros:
 * a call names its symbol.
 */
#ifndef GS_CUDA_H
#define GS_CUDA_H

#include "cuda/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

#define X(name, symbol, since, params) \
    CUresult symbol params;            \
    typedef CUresult symbol##_fn params;
#define PTSZ(name, symbol, since, params, args) \
    X(name, symbol, since, params) CUresult symbol##_ptsz params;
#define PTDS(name, symbol, since, params, args) \
    X(name, symbol, since, params) CUresult symbol##_ptds params;
#include "cuda/api.def"
#undef X
#undef PTSZ
#undef PTDS

#ifdef __cplusplus
}
#endif

#endif
