/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVML counts and numbers the GPUs of the share, as in a container, because programs use a number
 * of CUDA_VISIBLE_DEVICES as an index of NVML. Other GPUs are not hidden: they are found by UUID
 * and by PCI address. NVML has no index for a MIG instance, so a share of instances sees all GPUs.
 */
#include <string.h>

#include "driver/real.h"
#include "share/attach.h"

static const struct gs_region *numbered(void)
{
    const struct gs_region *region = gs_shared_region();
    for (uint32_t g = 0; region && g < region->gpu_count; g++)
        if (strncmp(region->gpu[g].uuid, "GPU-", 4) != 0)
            return NULL;
    return region;
}

static nvmlReturn_t counted(nvmlReturn_t result, unsigned *count)
{
    const struct gs_region *region = numbered();
    if (result == NVML_SUCCESS && region)
        *count = region->gpu_count;
    return result;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned *count)
{
    return counted(nvml()->nvmlDeviceGetCount(count), count);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    return counted(nvml()->nvmlDeviceGetCount_v2(count), count);
}

static nvmlReturn_t by_number(const struct gs_region *region, unsigned index, nvmlDevice_t *device)
{
    char uuid[GS_UUID + 1] = "";
    if (index >= region->gpu_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    memcpy(uuid, region->gpu[index].uuid, GS_UUID);
    return nvml()->nvmlDeviceGetHandleByUUID(uuid, device);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    const struct gs_region *region = numbered();
    return region ? by_number(region, index, device)
                  : nvml()->nvmlDeviceGetHandleByIndex(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    const struct gs_region *region = numbered();
    return region ? by_number(region, index, device)
                  : nvml()->nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    char uuid[96];
    nvmlReturn_t result = nvml()->nvmlDeviceGetIndex(device, index);
    if (result != NVML_SUCCESS || !numbered()
        || nvml()->nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS)
        return result;
    int gpu = gs_gpu_by_name(uuid);
    if (gpu >= 0)
        *index = (unsigned)gpu;
    return result;
}
