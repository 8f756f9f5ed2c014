/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the answer by which the CUDA runtime recognizes a driver.
 * Owner: none.
 * Threads: any; it asks the driver by entry points.
 * Limits: none.
 *
 * Facts: ZLUDA, dark_api/src/lib.rs, `integrity_check`. The answer is an authentication code
 * (HMAC with MD2) of the versions, the process, the thread, the addresses of two tables and one
 * function, the time, and every device. A version that ends with 0 or 1 gets a constant.
 */
#ifndef GS_SIM_CUDA_HANDSHAKE_H
#define GS_SIM_CUDA_HANDSHAKE_H

#include "cuda/core/driver.h"

/* Where the runtime found the tables. */
typedef struct gs_handshake_tables {
    const void *cudart, *handshake, *function;
} gs_handshake_tables;

CUresult gs_handshake(uint32_t version, uint64_t unix_seconds, const gs_handshake_tables *tables,
                      uint64_t answer[2]);

#endif
