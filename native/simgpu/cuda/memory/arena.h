/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: device addresses, and the CPU mapping of the bytes behind them.
 * Owner: arena.c; the caller that takes an address range gives it back.
 * Threads: under sim.lock, except gs_bytes(), which reads two values that never change after the
 *   first allocation.
 * Limits: up to 8 TiB of addresses, less where address space is scarce (sanitizers).
 *
 * Model
 * 1. There are two address ranges of the same size. Programs get addresses in the first, which the
 *    CPU cannot access, as on a real GPU. The bytes of device address A are mapped at the same
 *    offset of the second range: gs_bytes(A).
 * 2. The bytes are in memfds (chunk.h): they cost only what is touched, other processes can map
 *    them, and the kernel frees them when the last process that maps them ends, however it ends.
 * 3. Pinned and managed host memory has no address here: gs_bytes() returns such an address
 *    unchanged.
 */
#ifndef GS_SIM_CUDA_ARENA_H
#define GS_SIM_CUDA_ARENA_H

#include "cuda/core/driver.h"

CUdeviceptr gs_arena_take(uint64_t size, uint64_t alignment, CUdeviceptr hint); /* 0: no room */
void gs_arena_give(CUdeviceptr at, uint64_t size);
void gs_arena_unmap(CUdeviceptr at, uint64_t size);
void *gs_bytes(CUdeviceptr at);

#endif
