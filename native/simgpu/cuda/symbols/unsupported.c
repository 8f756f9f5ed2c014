/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every entry point of the table exists. Those without a definition return
 * CUDA_ERROR_NOT_SUPPORTED
 * and say so.
 */
#include "cuda/core/driver.h"
#include "cuda/symbols/not_simulated.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wc2x-extensions"
#endif

#define X(name, symbol, since, params)                                  \
    __attribute__((weak, visibility("default"))) CUresult symbol params \
    {                                                                   \
        static bool printed;                                            \
        return gs_not_simulated(&printed, #symbol "()");                \
    }
#define PTSZ(name, symbol, since, params, args) X(name, symbol, since, params)
#define PTDS PTSZ
#include "cuda/api.def"
