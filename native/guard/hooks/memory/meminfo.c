/* SPDX-License-Identifier: Apache-2.0 */
/* What a program sees of its GPU's memory: its share. */
#include <limits.h>

#include "charge/charge.h"
#include "charge/device.h"
#include "charge/pressure.h"
#include "share/attach.h"
#include "swap/blocks/cache.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int current_gpu(void)
{
    CUdevice device;
    return gs_active() && cuda()->cuCtxGetDevice(&device) == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
}

static struct gs_usage up_to_date(int gpu)
{
    gs_settle(gpu);
    return gs_usage(gpu);
}

/* What is only cached is free: whoever asks for it gets it. */
static uint64_t left(struct gs_usage usage)
{
    uint64_t used = usage.used > usage.cached ? usage.used - usage.cached : 0;
    return used < usage.limit ? usage.limit - used : 0;
}

static uint64_t free_on_card(int gpu, uint64_t reported)
{
    return reported + gs_cached_here(gpu);
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    CUresult result = cuda()->cuMemGetInfo_v2(free, total);
    int gpu = result == CUDA_SUCCESS ? current_gpu() : -1;
    if (gpu < 0)
        return result;
    struct gs_usage usage = up_to_date(gpu);
    if (free)
        *free = smaller(free_on_card(gpu, *free), left(usage));
    if (total)
        *total = smaller(*total, usage.limit);
    return result;
}

CUresult cuDeviceTotalMem_v2(size_t *total, CUdevice device)
{
    CUresult result = cuda()->cuDeviceTotalMem_v2(total, device);
    int gpu = result == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
    if (gpu >= 0 && total)
        *total = smaller(*total, gs_usage(gpu).limit);
    return result;
}

CUresult cuMemGetInfo(unsigned int *free, unsigned int *total)
{
    CUresult result = cuda()->cuMemGetInfo(free, total);
    int gpu = result == CUDA_SUCCESS ? current_gpu() : -1;
    if (gpu < 0)
        return result;
    struct gs_usage usage = up_to_date(gpu);
    if (free)
        *free = (unsigned int)smaller(free_on_card(gpu, *free), smaller(left(usage), UINT_MAX));
    if (total)
        *total = (unsigned int)smaller(*total, smaller(usage.limit, UINT_MAX));
    return result;
}

CUresult cuDeviceTotalMem(unsigned int *total, CUdevice device)
{
    CUresult result = cuda()->cuDeviceTotalMem(total, device);
    int gpu = result == CUDA_SUCCESS ? gs_gpu_of(device) : -1;
    if (gpu >= 0 && total)
        *total = (unsigned int)smaller(*total, smaller(gs_usage(gpu).limit, UINT_MAX));
    return result;
}

static int gpu_of_handle(nvmlDevice_t device)
{
    char uuid[96];
    if (!gs_active() || nvml()->nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS)
        return -1;
    return gs_gpu_by_name(uuid);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    nvmlReturn_t result = nvml()->nvmlDeviceGetMemoryInfo(device, memory);
    int gpu = result == NVML_SUCCESS ? gpu_of_handle(device) : -1;
    if (gpu < 0)
        return result;
    struct gs_usage usage = gs_usage(gpu);
    memory->total = smaller(memory->total, usage.limit);
    memory->free = smaller(memory->total, left(usage));
    memory->used = memory->total - memory->free;
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    nvmlReturn_t result = nvml()->nvmlDeviceGetMemoryInfo_v2(device, memory);
    int gpu = result == NVML_SUCCESS ? gpu_of_handle(device) : -1;
    if (gpu < 0)
        return result;
    struct gs_usage usage = gs_usage(gpu);
    memory->reserved = 0; /* the driver's own reserve is not the share's */
    memory->total = smaller(memory->total, usage.limit);
    memory->free = smaller(memory->total, left(usage));
    memory->used = memory->total - memory->free;
    return result;
}
