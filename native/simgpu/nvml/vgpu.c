/* SPDX-License-Identifier: Apache-2.0 */
/* vGPU: the types a host could create. A simulated host creates none, so no vGPU is active. */
#include "nvml/api.h"

#include <string.h>

nvmlReturn_t answer_nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, unsigned *out)
{
    const unsigned modes[] = {[GS_VGPU_NONE] = 0, [GS_VGPU_HOST] = 3, [GS_VGPU_GUEST] = 2};
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = modes[nvml_device(device)->vgpu];
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetHostVgpuMode(nvmlDevice_t device, unsigned *out)
{
    const unsigned sriov = 1;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (nvml_device(device)->vgpu != GS_VGPU_HOST)
        return NVML_ERROR_NOT_SUPPORTED;
    *out = sriov;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetSupportedVgpus(nvmlDevice_t device, unsigned *count,
                                                nvmlVgpuTypeId_t *list)
{
    const gs_image *image = nvml_image();
    unsigned total = 0;
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (nvml_device(device)->vgpu != GS_VGPU_HOST)
        return NVML_ERROR_NOT_SUPPORTED;
    const unsigned room = list == NULL ? 0 : *count;
    for (int i = 0; i < GS_MAX_VGPU_TYPES; i++) {
        if (image->vgpu_types[i].id == 0)
            continue;
        if (total < room)
            list[total] = image->vgpu_types[i].id;
        total++;
    }
    *count = total;
    return total > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetCreatableVgpus(nvmlDevice_t device, unsigned *count,
                                                nvmlVgpuTypeId_t *list)
{
    return answer_nvmlDeviceGetSupportedVgpus(device, count, list);
}

nvmlReturn_t answer_nvmlDeviceGetActiveVgpus(nvmlDevice_t device, unsigned *count,
                                             nvmlVgpuInstance_t *list)
{
    (void)list;
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (nvml_device(device)->vgpu != GS_VGPU_HOST)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = 0;
    return NVML_SUCCESS;
}

static const gs_vgpu_type *find_type(nvmlVgpuTypeId_t id)
{
    const gs_image *image = nvml_image();
    for (int i = 0; id != 0 && i < GS_MAX_VGPU_TYPES; i++)
        if (image->vgpu_types[i].id == id)
            return &image->vgpu_types[i];
    return NULL;
}

/* NVML always returns the required length; the text is copied only where it fits. */
static nvmlReturn_t sized_text(const char *text, char *out, unsigned *length)
{
    if (length == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = out == NULL ? 0 : *length;
    *length = (unsigned)strlen(text) + 1;
    return out == NULL ? NVML_ERROR_INSUFFICIENT_SIZE : nvml_text(text, out, room);
}

nvmlReturn_t answer_nvmlVgpuTypeGetName(nvmlVgpuTypeId_t id, char *text, unsigned *length)
{
    const gs_vgpu_type *type = find_type(id);
    return type == NULL ? NVML_ERROR_INVALID_ARGUMENT : sized_text(type->name, text, length);
}

nvmlReturn_t answer_nvmlVgpuTypeGetClass(nvmlVgpuTypeId_t id, char *text, unsigned *length)
{
    const gs_vgpu_type *type = find_type(id);
    return type == NULL ? NVML_ERROR_INVALID_ARGUMENT : sized_text(type->kind, text, length);
}

nvmlReturn_t answer_nvmlVgpuTypeGetFramebufferSize(nvmlVgpuTypeId_t id, unsigned long long *bytes)
{
    const gs_vgpu_type *type = find_type(id);
    if (type == NULL || bytes == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *bytes = type->memory;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlVgpuTypeGetMaxInstances(nvmlDevice_t device, nvmlVgpuTypeId_t id,
                                                unsigned *count)
{
    const gs_vgpu_type *type = find_type(id);
    if (type == NULL || count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (nvml_device(device)->vgpu != GS_VGPU_HOST)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = type->instances;
    return NVML_SUCCESS;
}
