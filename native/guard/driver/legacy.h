/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and entry points from before CUDA 3.2, with 32-bit sizes, which 64-bit drivers still
 * export.
 * Owner: NVIDIA defines the ABI; no state. Threads: any.
 * Limits: declarations only; the hooks are in hooks/memory/legacy.c and array.c, context.c,
 * meminfo.c.
 */
#ifndef GS_LEGACY_H
#define GS_LEGACY_H

#include "gs_cuda.h"

typedef unsigned int CUdeviceptr_v1;

typedef struct {
    unsigned int Width, Height;
    CUarray_format Format;
    unsigned int NumChannels;
} CUDA_ARRAY_DESCRIPTOR_v1;

typedef struct {
    unsigned int Width, Height, Depth;
    CUarray_format Format;
    unsigned int NumChannels, Flags;
} CUDA_ARRAY3D_DESCRIPTOR_v1;

CUresult cuMemAlloc(CUdeviceptr_v1 *, unsigned int);
CUresult cuMemAllocPitch(CUdeviceptr_v1 *, unsigned int *, unsigned int, unsigned int,
                         unsigned int);
CUresult cuMemFree(CUdeviceptr_v1);
CUresult cuMemGetInfo(unsigned int *, unsigned int *);
CUresult cuDeviceTotalMem(unsigned int *, CUdevice);
CUresult cuArrayCreate(CUarray *, const CUDA_ARRAY_DESCRIPTOR_v1 *);
CUresult cuArray3DCreate(CUarray *, const CUDA_ARRAY3D_DESCRIPTOR_v1 *);
CUresult cuCtxCreate(CUcontext *, unsigned int, CUdevice);

#endif
