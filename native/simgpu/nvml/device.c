/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of the system and of devices: names, UUIDs, PCI, modes. */
#include "nvml/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

nvmlReturn_t answer_nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    return nvml_text(nvml_image()->driver, text, length);
}

nvmlReturn_t answer_nvmlSystemGetNVMLVersion(char *text, unsigned length)
{
    return nvml_text(nvml_image()->nvml, text, length);
}

nvmlReturn_t answer_nvmlSystemGetCudaDriverVersion(int *version)
{
    if (version == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *version = (int)nvml_image()->cuda;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length)
{
    char path[64], text[1024] = "";
    if (name == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NVML_ERROR_NOT_FOUND;
    size_t bytes_read = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return bytes_read == 0 ? NVML_ERROR_NOT_FOUND : nvml_text(text, name, length);
}

nvmlReturn_t answer_nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
    if (state == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *state = (nvmlConfComputeSystemState_t){.environment = nvml_image()->confidential,
                                            .ccFeature = nvml_image()->confidential != 0,
                                            .devToolsMode = nvml_image()->confidential_tools};
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetCount_v2(unsigned *count)
{
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = nvml_image()->gpus;
    return NVML_SUCCESS;
}

static nvmlReturn_t handle_of(int index, nvmlDevice_t *device)
{
    if (index < 0)
        return NVML_ERROR_NOT_FOUND;
    if (nvml_physical(&nvml_handles[index])->lost)
        return NVML_ERROR_GPU_IS_LOST;
    *device = &nvml_handles[index];
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    if (device == NULL || index >= nvml_image()->gpus)
        return NVML_ERROR_INVALID_ARGUMENT;
    return handle_of((int)index, device);
}

nvmlReturn_t answer_nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    if (uuid == NULL || device == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    return handle_of(gs_device_by_uuid(nvml_image(), uuid), device);
}

nvmlReturn_t answer_nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    if (serial == NULL || device == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < nvml_image()->gpus; i++)
        if (strcmp(nvml_image()->devices[i].serial, serial) == 0)
            return handle_of((int)i, device);
    return NVML_ERROR_NOT_FOUND;
}

static void parse_pci(const char *text, unsigned *domain, unsigned *bus, unsigned *slot)
{
    *domain = *bus = *slot = 0;
    if (sscanf(text, "%x:%x:%x", domain, bus, slot) == 3)
        return;
    *domain = 0;
    sscanf(text, "%x:%x", bus, slot);
}

void nvml_pci_parts(const gs_device *device, unsigned *domain, unsigned *bus, unsigned *slot)
{
    parse_pci(device->pci, domain, bus, slot);
}

nvmlReturn_t answer_nvmlDeviceGetHandleByPciBusId_v2(const char *text, nvmlDevice_t *device)
{
    unsigned address[3], candidate[3];
    if (text == NULL || device == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    parse_pci(text, &address[0], &address[1], &address[2]);
    for (unsigned i = 0; i < nvml_image()->gpus; i++) {
        nvml_pci_parts(&nvml_image()->devices[i], &candidate[0], &candidate[1], &candidate[2]);
        if (memcmp(address, candidate, sizeof address) == 0)
            return handle_of((int)i, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t answer_nvmlDeviceGetName(nvmlDevice_t device, char *text, unsigned length)
{
    const gs_device *own = nvml_device(device);
    char name[160];
    if (own->parent < 0)
        return nvml_text(own->name, text, length);
    snprintf(name, sizeof name, "%s MIG %s", nvml_physical(device)->name, own->mig_profile);
    return nvml_text(name, text, length);
}

nvmlReturn_t answer_nvmlDeviceGetUUID(nvmlDevice_t device, char *text, unsigned length)
{
    return nvml_text(nvml_device(device)->uuid, text, length);
}

nvmlReturn_t answer_nvmlDeviceGetSerial(nvmlDevice_t device, char *text, unsigned length)
{
    return nvml_text(nvml_device(device)->serial, text, length);
}

nvmlReturn_t answer_nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length)
{
    (void)device;
    return nvml_text(nvml_image()->vbios, text, length);
}

/* The index of a MIG device counts the instances of its GPU. */
nvmlReturn_t answer_nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *out)
{
    const gs_image *image = nvml_image();
    const int index = nvml_index(device), parent = image->devices[index].parent;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = parent < 0 ? (unsigned)index : 0;
    for (int i = 0; parent >= 0 && i < index; i++)
        *out += image->devices[i].present && image->devices[i].parent == parent;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *out)
{
    return answer_nvmlDeviceGetIndex(device, out);
}

nvmlReturn_t answer_nvmlDeviceGetBrand(nvmlDevice_t device, unsigned *out)
{
    const unsigned nvidia = 14;
    (void)device;
    return nvml_number(nvidia, out);
}

nvmlReturn_t answer_nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *out)
{
    static const char *const names[] = {"volta", "turing", "ampere", "ada", "hopper", "blackwell"};
    const unsigned volta = 5, count = sizeof names / sizeof *names;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = NVML_NOT_AVAILABLE;
    for (unsigned i = 0; i < count; i++)
        if (strcasecmp(names[i], nvml_physical(device)->arch) == 0)
            *out = volta + i;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    if (major == NULL || minor == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *major = (int)nvml_physical(device)->cc_major;
    *minor = (int)nvml_physical(device)->cc_minor;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *out)
{
    const gs_device *gpu = nvml_physical(device);
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = (nvmlPciInfo_t){.pciDeviceId = gpu->pci_id, .pciSubSystemId = gpu->pci_subsystem};
    nvml_pci_parts(gpu, &out->domain, &out->bus, &out->device);
    snprintf(out->busId, sizeof out->busId, "%08X:%02X:%02X.0", out->domain, out->bus, out->device);
    snprintf(out->busIdLegacy, sizeof out->busIdLegacy, "%04X:%02X:%02X.0", out->domain & 0xffff,
             out->bus & 0xff, out->device & 0xff);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_v2_t *out)
{
    nvmlPciInfo_t info;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    answer_nvmlDeviceGetPciInfo_v3(device, &info);
    *out = (nvmlPciInfo_v2_t){.domain = info.domain,
                              .bus = info.bus,
                              .device = info.device,
                              .pciDeviceId = info.pciDeviceId,
                              .pciSubSystemId = info.pciSubSystemId};
    memcpy(out->busId, info.busIdLegacy, sizeof out->busId);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *out)
{
    const unsigned display_controller = 3, three_d = 2;
    nvmlPciInfo_t info;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != NVML_STRUCT_VERSION(nvmlPciInfoExt_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    answer_nvmlDeviceGetPciInfo_v3(device, &info);
    *out = (nvmlPciInfoExt_t){out->version,       info.domain,      info.bus,
                              info.device,        info.pciDeviceId, info.pciSubSystemId,
                              display_controller, three_d,          ""};
    memcpy(out->busId, info.busId, sizeof out->busId);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned *out)
{
    const gs_device *gpu = nvml_device(device);
    return nvml_number(gpu->sms * (gpu->cc_major == 8 && gpu->cc_minor == 0 ? 64 : 128), out);
}

nvmlReturn_t answer_nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned *out)
{
    return nvml_number(nvml_device(device)->memory_bus, out);
}

nvmlReturn_t answer_nvmlDeviceGetComputeMode(nvmlDevice_t device, unsigned *out)
{
    return nvml_number((unsigned)nvml_physical(device)->compute_mode, out);
}

nvmlReturn_t answer_nvmlDeviceSetComputeMode(nvmlDevice_t device, unsigned mode)
{
    if (mode != NVML_COMPUTEMODE_DEFAULT && mode != NVML_COMPUTEMODE_PROHIBITED
        && mode != NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    nvml_device(device)->compute_mode = (int)mode;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *out)
{
    return nvml_number(nvml_device(device)->persistence, out);
}

nvmlReturn_t answer_nvmlDeviceSetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t mode)
{
    if (mode > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    nvml_device(device)->persistence = mode;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t *out)
{
    (void)device;
    return nvml_number(false, out);
}

nvmlReturn_t answer_nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t *out)
{
    (void)device;
    return nvml_number(false, out);
}

nvmlReturn_t answer_nvmlDeviceGetAccountingMode(nvmlDevice_t device, nvmlEnableState_t *out)
{
    (void)device;
    return nvml_number(false, out);
}
