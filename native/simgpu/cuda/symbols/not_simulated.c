/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/symbols/not_simulated.h"

#include <stdio.h>

CUresult gs_not_simulated(bool *printed, const char *what)
{
    if (!__atomic_exchange_n(printed, true, __ATOMIC_RELAXED))
        fprintf(stderr,
                "gpushare: the simulated GPU does not have %s; the call fails with "
                "CUDA_ERROR_NOT_SUPPORTED\n",
                what);
    return CUDA_ERROR_NOT_SUPPORTED;
}
