/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the driver that must return what the test expects; otherwise the program ends with the
 * place and the result.
 */
#ifndef GS_TEST_CALLS_H
#define GS_TEST_CALLS_H

#include "check.h"
#include "gs_cuda.h"

#define MIB (1ull << 20)
#define OK(call) GIVES(call, CUDA_SUCCESS)
#define FULL(call) GIVES(call, CUDA_ERROR_OUT_OF_MEMORY)
#define GIVES(call, expected)                                                                    \
    do {                                                                                         \
        CUresult result_ = call;                                                                 \
        if (result_ != (expected)) {                                                             \
            fprintf(stderr, "%s:%d: %s returned %d\n", __FILE__, __LINE__, #call, (int)result_); \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

#endif
