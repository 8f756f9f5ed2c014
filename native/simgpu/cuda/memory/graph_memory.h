/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory of graph nodes. The address is fixed when the node is created; physical memory
 *   comes at the launch.
 * Owner: the node owns the addresses, the device's account owns the chunks between launches.
 * Threads: under sim.lock.
 * Limits: freed chunks stay with the device until cuDeviceGraphMemTrim.
 */
#ifndef GS_SIM_CUDA_GRAPH_MEMORY_H
#define GS_SIM_CUDA_GRAPH_MEMORY_H

#include "cuda/core/driver.h"

CUresult gs_graph_memory_reserve(int device, size_t size, CUdeviceptr *at);
CUresult gs_graph_memory_map(CUdeviceptr at, bool free_first);
CUresult gs_graph_memory_free(CUdeviceptr at);
void gs_graph_memory_forget(CUdeviceptr at); /* the node that reserved it is destroyed */

#endif
