/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MIG: mode, device handles, instances and profiles. The handle of a GPU instance or compute
 * instance is the handle of its MIG device.
 */
#include "nvml/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INSTANCES = 7, MEMORY_SLICES = 8 };

/* Numbers as `nvidia-smi mig -lgip` lists them; the index is NVML_GPU_INSTANCE_PROFILE_*. */
static const struct {
    unsigned id, slices, memory_slices, instances;
} profiles[] = {{19, 1, 1, 7}, {14, 2, 2, 3}, {9, 3, 4, 2}, {5, 4, 4, 1}, {0, 7, 8, 1}};
enum { PROFILES = sizeof profiles / sizeof *profiles };

static unsigned slices_of(const gs_device *instance)
{
    return (unsigned)strtoul(instance->mig_profile, NULL, 10);
}

static unsigned profile_id(const gs_device *instance)
{
    for (unsigned i = 0; i < PROFILES; i++)
        if (profiles[i].slices == slices_of(instance))
            return profiles[i].id;
    return NVML_NOT_AVAILABLE;
}

nvmlReturn_t answer_nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    if (current == NULL || pending == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!nvml_device(device)->mig_capable)
        return NVML_ERROR_NOT_SUPPORTED;
    *current = nvml_device(device)->mig;
    *pending = nvml_device(device)->mig_pending;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *out)
{
    return nvml_number(nvml_device(device)->mig_capable ? MOST_INSTANCES : 0, out);
}

static nvmlDevice_t nth_instance(nvmlDevice_t device, unsigned position)
{
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (i != nvml_index(device) && nvml_holds(nvml_index(device), i) && position-- == 0)
            return &nvml_handles[i];
    return NULL;
}

nvmlReturn_t answer_nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index,
                                                        nvmlDevice_t *out)
{
    if (out == NULL || index >= MOST_INSTANCES)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!nvml_device(device)->mig_capable)
        return NVML_ERROR_NOT_SUPPORTED;
    *out = nth_instance(device, index);
    return *out == NULL ? NVML_ERROR_NOT_FOUND : NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device,
                                                                 nvmlDevice_t *out)
{
    const gs_device *own = nvml_device(device);
    if (out == NULL || own->parent < 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = &nvml_handles[own->parent];
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *out)
{
    return nvml_number(nvml_device(device)->parent >= 0, out);
}

nvmlReturn_t answer_nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *out)
{
    const gs_device *own = nvml_device(device);
    return own->parent < 0 ? NVML_ERROR_INVALID_ARGUMENT : nvml_number((unsigned)own->gi, out);
}

nvmlReturn_t answer_nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *out)
{
    const gs_device *own = nvml_device(device);
    return own->parent < 0 ? NVML_ERROR_INVALID_ARGUMENT : nvml_number((unsigned)own->ci, out);
}

nvmlReturn_t answer_nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *out)
{
    const gs_device *own = nvml_device(device);
    const bool mig = own->parent >= 0;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = (nvmlDeviceAttributes_t){.multiprocessorCount = own->sms,
                                    .sharedCopyEngineCount = 1,
                                    .gpuInstanceSliceCount = mig ? slices_of(own) : 0,
                                    .computeInstanceSliceCount = mig ? slices_of(own) : 0,
                                    .memorySizeMB = own->memory >> 20};
    return NVML_SUCCESS;
}

static unsigned profile_sms(const gs_device *gpu, unsigned slices)
{
    const unsigned per_slice = gpu->sms / MEMORY_SLICES / 2 * 2;
    return slices == MOST_INSTANCES ? gpu->sms : slices * per_slice;
}

nvmlReturn_t answer_nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned profile,
                                                         nvmlGpuInstanceProfileInfo_v2_t *out)
{
    const gs_device *gpu = nvml_device(device);
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!gpu->mig_capable || profile >= PROFILES)
        return NVML_ERROR_NOT_SUPPORTED;
    const uint64_t memory = gpu->memory / MEMORY_SLICES * profiles[profile].memory_slices;
    *out = (nvmlGpuInstanceProfileInfo_v2_t){.version = out->version,
                                             .id = profiles[profile].id,
                                             .sliceCount = profiles[profile].slices,
                                             .instanceCount = profiles[profile].instances,
                                             .multiprocessorCount =
                                                 profile_sms(gpu, profiles[profile].slices),
                                             .copyEngineCount = profiles[profile].slices,
                                             .memorySizeMB = memory >> 20};
    snprintf(out->name, sizeof out->name, "MIG %ug.%llugb", out->sliceCount,
             (unsigned long long)((memory + (1ull << 30) - 1) >> 30));
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned profile,
                                                        nvmlGpuInstanceProfileInfo_t *out)
{
    nvmlGpuInstanceProfileInfo_v2_t full = {0};
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t refused = answer_nvmlDeviceGetGpuInstanceProfileInfoV(device, profile, &full);
    if (refused == NVML_SUCCESS)
        *out = (nvmlGpuInstanceProfileInfo_t){full.id,
                                              0,
                                              full.sliceCount,
                                              full.instanceCount,
                                              full.multiprocessorCount,
                                              full.copyEngineCount,
                                              0,
                                              0,
                                              0,
                                              0,
                                              full.memorySizeMB};
    return refused;
}

nvmlReturn_t answer_nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned profile,
                                              nvmlGpuInstance_t *list, unsigned *count)
{
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!nvml_device(device)->mig)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = 0;
    for (unsigned i = 0; i < MOST_INSTANCES; i++) {
        nvmlDevice_t instance = nth_instance(device, i);
        if (instance == NULL || profile_id(nvml_device(instance)) != profile)
            continue;
        if (list != NULL)
            list[*count] = (nvmlGpuInstance_t)instance;
        ++*count;
    }
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned id,
                                                 nvmlGpuInstance_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!nvml_device(device)->mig)
        return NVML_ERROR_NOT_SUPPORTED;
    for (unsigned i = 0; i < MOST_INSTANCES; i++) {
        nvmlDevice_t instance = nth_instance(device, i);
        if (instance == NULL || nvml_device(instance)->gi != (int)id)
            continue;
        *out = (nvmlGpuInstance_t)instance;
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_FOUND;
}

static const gs_device *instance_of(const void *handle)
{
    const struct nvmlDevice_st *device = handle;
    if (device < nvml_handles || device >= nvml_handles + GS_MAX_DEVICES)
        return NULL;
    const gs_device *instance = &nvml_image()->devices[device - nvml_handles];
    return instance->present && instance->parent >= 0 ? instance : NULL;
}

nvmlReturn_t answer_nvmlGpuInstanceGetInfo(nvmlGpuInstance_t handle, nvmlGpuInstanceInfo_t *out)
{
    const gs_device *instance = instance_of(handle);
    if (instance == NULL || out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = (nvmlGpuInstanceInfo_t){&nvml_handles[instance->parent],
                                   (unsigned)instance->gi,
                                   profile_id(instance),
                                   {instance->slice_start, instance->slice_size}};
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t handle, unsigned profile,
                                                       nvmlComputeInstance_t *list, unsigned *count)
{
    const gs_device *instance = instance_of(handle);
    if (instance == NULL || count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = profile_id(instance) == profile;
    if (*count == 1 && list != NULL)
        list[0] = (nvmlComputeInstance_t)handle;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t handle,
                                                  nvmlComputeInstanceInfo_t *out)
{
    const gs_device *instance = instance_of(handle);
    if (instance == NULL || out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = (nvmlComputeInstanceInfo_t){&nvml_handles[instance->parent],
                                       (nvmlGpuInstance_t)handle,
                                       (unsigned)instance->ci,
                                       profile_id(instance),
                                       {0, slices_of(instance)}};
    return NVML_SUCCESS;
}
