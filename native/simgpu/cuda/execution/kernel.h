/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: kernels: parameters, duration, and the few that work on memory.
 * Owner: cuda/code owns functions; an operation owns its packed parameters.
 * Threads: under sim.lock.
 * Limits: the code of a kernel is not run; its duration comes from its grid, or from its first
 *   parameter.
 *
 * A kernel whose name contains "spin" lasts as many nanoseconds as its first 64-bit parameter says.
 * These names work on memory, so that tests can follow bytes through copies, graphs and
 * checkpoints: gs_fill(u64 at, u32 value, u64 words)      gs_saxpy(u64 y, u64 x, f32 a, u64 n)
 * y += a * x gs_poke(u64 at, u32 value)                 an address without memory raises Xid 31
 */
#ifndef GS_SIM_CUDA_KERNEL_H
#define GS_SIM_CUDA_KERNEL_H

#include "cuda/graph/op.h"

struct CUfunc_st {
    CUcontext ctx; /* NULL: of a library */
    CUmodule module;
    CUlibrary library;
    char name[160];
    int params; /* -1: unknown */
    uint32_t offset[64], size[64];
    int attributes[CU_FUNC_ATTRIBUTE_MAX];
    CUfunction next;
};

CUresult gs_kernel_pack(CUcontext ctx, CUfunction function, void **params, void **extra,
                        gs_kernel *kernel);
uint64_t gs_kernel_threads(const gs_kernel *kernel); /* per block */
uint64_t gs_kernel_ns(CUcontext ctx, const gs_kernel *kernel);
uint32_t gs_kernel_sms(CUcontext ctx, const gs_kernel *kernel); /* the SMs its grid fills */
void gs_kernel_run(CUcontext ctx, const gs_kernel *kernel, uint64_t until); /* it ends then */

#endif
