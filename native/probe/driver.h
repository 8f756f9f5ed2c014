/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the driver as this environment resolves it: by dlopen and dlsym, like any program.
 * Owner: the process; the library is not unloaded.
 * Threads: the main thread.
 * Limits: a function that the driver does not have is NULL.
 */
#ifndef GS_PROBE_DRIVER_H
#define GS_PROBE_DRIVER_H

#include <stdbool.h>

#include "gs_cuda.h"

/* clang-format off */
#define PROBE_CALLS(X)                                                                          \
    X(cuInit) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName)       \
    X(cuDeviceGetUuid_v2) X(cuDeviceTotalMem_v2) X(cuDeviceGetAttribute) X(cuMemGetInfo_v2)     \
    X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease_v2) X(cuCtxSetCurrent)              \
    X(cuStreamCreate) X(cuStreamDestroy_v2) X(cuStreamSynchronize) X(cuStreamQuery)             \
    X(cuMemcpyDtoH_v2) X(cuMemsetD8_v2) X(cuMemAllocHost_v2) X(cuMemFreeHost)                   \
    X(cuMemAlloc_v2) X(cuMemAllocPitch_v2) X(cuMemAllocManaged) X(cuMemFree_v2)                 \
    X(cuMemAllocAsync) X(cuMemAllocFromPoolAsync) X(cuMemFreeAsync) X(cuMemPoolCreate)          \
    X(cuMemPoolDestroy) X(cuMemPoolTrimTo) X(cuDeviceGetDefaultMemPool)                         \
    X(cuMemCreate) X(cuMemRelease)                                                              \
    X(cuModuleLoadData) X(cuModuleUnload) X(cuModuleGetFunction) X(cuLaunchKernel)              \
    X(cuArrayCreate_v2) X(cuArray3DCreate_v2) X(cuArrayDestroy)                                 \
    X(cuMipmappedArrayCreate) X(cuMipmappedArrayDestroy)                                        \
    X(cuGraphCreate) X(cuGraphDestroy) X(cuGraphAddMemAllocNode) X(cuGraphInstantiateWithFlags) \
    X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuDeviceGraphMemTrim)
/* clang-format on */

struct driver {
#define X(symbol) symbol##_fn *symbol;
    PROBE_CALLS(X)
#undef X
};

extern struct driver driver;

/* NULL, or why there is no driver. `own_namespace`: by dlmopen, where no library is preloaded. */
const char *driver_open(bool own_namespace);

#endif
