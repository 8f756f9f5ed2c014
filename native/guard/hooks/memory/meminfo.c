/* SPDX-License-Identifier: Apache-2.0 */
/* What a program sees as memory of its GPU: the limit of its share, and what is free of it. */
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

/* Cached bytes count as free: an allocation that needs them gets them. */
static uint64_t left(struct gs_usage usage)
{
    uint64_t used = usage.used > usage.cached ? usage.used - usage.cached : 0;
    return used < usage.limit ? usage.limit - used : 0;
}

/* The one rule for CUDA and NVML: what the share and the card both have left. */
static uint64_t free_of(int gpu, struct gs_usage usage, uint64_t reported)
{
    return smaller(reported + gs_cached_here(gpu), left(usage));
}

#define MEMORY_INFO(symbol, type, most)                                 \
    CUresult symbol(type *free, type *total)                            \
    {                                                                   \
        CUresult result = cuda()->symbol(free, total);                  \
        int gpu = result == CUDA_SUCCESS ? current_gpu() : -1;          \
        if (gpu < 0)                                                    \
            return result;                                              \
        struct gs_usage usage = up_to_date(gpu);                        \
        if (free)                                                       \
            *free = (type)smaller(free_of(gpu, usage, *free), most);    \
        if (total)                                                      \
            *total = (type)smaller(*total, smaller(usage.limit, most)); \
        return result;                                                  \
    }
MEMORY_INFO(cuMemGetInfo, unsigned int, UINT_MAX)
MEMORY_INFO(cuMemGetInfo_v2, size_t, SIZE_MAX)

#define TOTAL_MEMORY(symbol, type, most)                                        \
    CUresult symbol(type *total, CUdevice device)                               \
    {                                                                           \
        CUresult result = cuda()->symbol(total, device);                        \
        int gpu = result == CUDA_SUCCESS ? gs_gpu_of(device) : -1;              \
        if (gpu >= 0 && total)                                                  \
            *total = (type)smaller(*total, smaller(gs_usage(gpu).limit, most)); \
        return result;                                                          \
    }
TOTAL_MEMORY(cuDeviceTotalMem, unsigned int, UINT_MAX)
TOTAL_MEMORY(cuDeviceTotalMem_v2, size_t, SIZE_MAX)

static int gpu_of_handle(nvmlDevice_t device)
{
    char uuid[96];
    if (!gs_active() || nvml()->nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS)
        return -1;
    return gs_gpu_by_name(uuid);
}

/*
 * Replaces the amounts of the card with those of the share; false when the share does not have that
 * GPU.
 */
static bool show_share(nvmlDevice_t device, unsigned long long *total, unsigned long long *free,
                       unsigned long long *used)
{
    int gpu = gpu_of_handle(device);
    if (gpu < 0)
        return false;
    struct gs_usage usage = up_to_date(gpu);
    *total = smaller(*total, usage.limit);
    *free = smaller(*total, free_of(gpu, usage, *free));
    *used = *total - *free; /* so that those who subtract find the same free memory */
    return true;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    nvmlReturn_t result = nvml()->nvmlDeviceGetMemoryInfo(device, memory);
    if (result == NVML_SUCCESS)
        show_share(device, &memory->total, &memory->free, &memory->used);
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    nvmlReturn_t result = nvml()->nvmlDeviceGetMemoryInfo_v2(device, memory);
    if (result == NVML_SUCCESS && show_share(device, &memory->total, &memory->free, &memory->used))
        memory->reserved = 0; /* what the driver reserves is not the share's */
    return result;
}
