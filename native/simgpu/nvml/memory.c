/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a device, and limits per cgroup (driver 615 and later). */
#include "nvml/api.h"
#include "machine/cgroup.h"
#include "machine/slot.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t used_now(nvmlDevice_t device)
{
    gs_image_reap(nvml_image());
    return gs_device_used(nvml_image(), nvml_index(device));
}

/* Version 1 has no field for memory that the driver reserves, so that counts as used. */
nvmlReturn_t answer_nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const uint64_t total = nvml_device(device)->memory, used = used_now(device);
    *out = (nvmlMemory_t){total, total - used, used};
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const gs_device *own = nvml_device(device);
    const uint64_t used = used_now(device);
    *out = (nvmlMemory_v2_t){out->version, own->memory, own->reserved, own->memory - used,
                             used - own->reserved};
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const uint64_t total = nvml_physical(device)->bar1,
                   used = total < GS_GRANULE ? total : GS_GRANULE;
    *out = (nvmlBAR1Memory_t){total, total - used, used};
    return NVML_SUCCESS;
}

static gs_limit *find_limit(const char *cgroup, int device)
{
    gs_image *image = nvml_image();
    for (int i = 0; i < GS_MAX_LIMITS; i++) {
        gs_limit *limit = &image->limits[i];
        if (limit->present && limit->device == device && strcmp(limit->cgroup, cgroup) == 0)
            return limit;
    }
    return NULL;
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A soft limit remains after its cgroup is removed: the ancestors keep the reservation, as on the real driver. */
static gs_limit *free_limit(void)
{
    gs_image *image = nvml_image();
    for (int i = 0; i < GS_MAX_LIMITS; i++) {
        gs_limit *limit = &image->limits[i];
        if (!limit->present || (limit->soft == 0 && !is_directory(limit->cgroup)))
            return limit;
    }
    return NULL;
}

static nvmlReturn_t check_cgroup(const char *path)
{
    if (path == NULL || path[0] != '/' || strlen(path) >= GS_PATH)
        return NVML_ERROR_INVALID_ARGUMENT;
    return is_directory(path) ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t answer_nvmlDeviceSetMemoryLimits_v1(nvmlDevice_t device,
                                                 nvmlSetMemoryLimits_v1_t *limits)
{
    if (limits == NULL || limits->softLimit > limits->hardLimit)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    nvmlReturn_t refused = check_cgroup(limits->nameSpace);
    if (refused != NVML_SUCCESS)
        return refused;
    gs_limit *limit = find_limit(limits->nameSpace, nvml_index(device));
    if (limit == NULL)
        limit = free_limit();
    if (limit == NULL)
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    *limit = (gs_limit){.present = limits->softLimit > 0
                                   || limits->hardLimit != NVML_DEVICE_MEMORY_LIMIT_MAX,
                        .device = nvml_index(device),
                        .soft = limits->softLimit,
                        .hard = limits->hardLimit};
    strcpy(limit->cgroup, limits->nameSpace);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMemoryLimits_v1(nvmlDevice_t device,
                                                 nvmlGetMemoryLimits_v1_t *limits)
{
    if (limits == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t refused = check_cgroup(limits->nameSpace);
    if (refused != NVML_SUCCESS)
        return refused;
    gs_limit none = {.present = true, .device = nvml_index(device), .soft = 0, .hard = GS_NO_LIMIT};
    strcpy(none.cgroup, limits->nameSpace);
    const gs_limit *limit = find_limit(limits->nameSpace, nvml_index(device));
    if (limit == NULL)
        limit = &none;
    gs_image_reap(nvml_image());
    limits->softLimit = limit->soft;
    limits->hardLimit = limit->hard;
    limits->currentUsed = gs_limit_used(nvml_image(), limit);
    return NVML_SUCCESS;
}
