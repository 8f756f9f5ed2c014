/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the MPS client inside the driver.
 * Owner: sim.mps_socket keeps this process a client; the daemon sees the client leave when it
 *   closes.
 * Threads: under sim.lock; gs_mps_join() takes the image lock.
 * Limits: a process joins once, in cuInit.
 */
#ifndef GS_SIM_CUDA_MPS_CLIENT_H
#define GS_SIM_CUDA_MPS_CLIENT_H

#include "cuda/core/driver.h"

CUresult gs_mps_join(void);
gs_mps_client *gs_mps_self(void); /* NULL: not a client */
bool gs_mps_neighbor(const gs_slot *other); /* a client of the same server */
bool gs_mps_serves(const gs_mps_server *server, int device);
uint32_t gs_mps_sms(const gs_device *device); /* the SMs this process sees */
/* What a context answers after a fault of the server; *seen is the newest fault it survived. */
CUresult gs_mps_health(uint64_t *seen);

#endif
