/* SPDX-License-Identifier: Apache-2.0 */
/* Topology between two devices: PCIe, NVLink, NUMA. */
#include "nvml/api.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool both(nvmlDevice_t device, nvmlDevice_t other)
{
    (void)device;
    return other >= nvml_handles && other < nvml_handles + nvml_image()->gpus;
}

/* Buses with the same upper digit are behind one PCIe switch. */
static bool same_switch(const gs_device *one, const gs_device *other)
{
    unsigned left[3], right[3];
    nvml_pci_parts(one, &left[0], &left[1], &left[2]);
    nvml_pci_parts(other, &right[0], &right[1], &right[2]);
    return left[0] == right[0] && left[1] >> 4 == right[1] >> 4;
}

nvmlReturn_t answer_nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device, nvmlDevice_t other,
                                                        unsigned *level)
{
    if (level == NULL || !both(device, other))
        return NVML_ERROR_INVALID_ARGUMENT;
    const gs_device *left = nvml_device(device), *right = nvml_device(other);
    *level = NVML_TOPOLOGY_NODE;
    if (left == right)
        *level = NVML_TOPOLOGY_INTERNAL;
    else if (left->numa != right->numa)
        *level = NVML_TOPOLOGY_SYSTEM;
    else if (same_switch(left, right))
        *level = NVML_TOPOLOGY_SINGLE;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetP2PStatus(nvmlDevice_t device, nvmlDevice_t other, unsigned kind,
                                           unsigned *status)
{
    const unsigned nvlink = 2, last = 4, ok = 0, not_supported = 5;
    if (status == NULL || kind > last || !both(device, other))
        return NVML_ERROR_INVALID_ARGUMENT;
    const bool linked = nvml_device(device)->nvlinks > 0 && nvml_device(other)->nvlinks > 0;
    *status = kind != nvlink || linked ? ok : not_supported;
    return NVML_SUCCESS;
}

static nvmlReturn_t check_link(nvmlDevice_t device, unsigned link, const void *out)
{
    const gs_device *gpu = nvml_device(device);
    if (gpu->nvlinks == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    return out == NULL || link >= gpu->nvlinks ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link,
                                             nvmlEnableState_t *active)
{
    nvmlReturn_t refused = check_link(device, link, active);
    if (refused == NVML_SUCCESS)
        *active = 1;
    return refused;
}

static nvmlReturn_t link_number(nvmlDevice_t device, unsigned link, unsigned value, unsigned *out)
{
    nvmlReturn_t refused = check_link(device, link, out);
    return refused == NVML_SUCCESS ? nvml_number(value, out) : refused;
}

nvmlReturn_t answer_nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned link,
                                               unsigned *version)
{
    const unsigned v4_0 = 7, v3_0 = 5;
    return link_number(device, link, nvml_device(device)->cc_major >= 9 ? v4_0 : v3_0, version);
}

nvmlReturn_t answer_nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link,
                                                        unsigned *kind)
{
    const unsigned nvswitch = 2;
    return link_number(device, link, nvswitch, kind);
}

/* Four switches, as in a DGX H100; links are assigned round-robin. */
nvmlReturn_t answer_nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned link,
                                                        nvmlPciInfo_t *out)
{
    nvmlReturn_t refused = check_link(device, link, out);
    if (refused != NVML_SUCCESS)
        return refused;
    *out = (nvmlPciInfo_t){.bus = 5 + link % 4, .pciDeviceId = 0x22a310de};
    snprintf(out->busId, sizeof out->busId, "00000000:%02X:00.0", out->bus & 0xff);
    snprintf(out->busIdLegacy, sizeof out->busIdLegacy, "0000:%02X:00.0", out->bus & 0xff);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned *node)
{
    if (node == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (nvml_device(device)->numa < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *node = (unsigned)nvml_device(device)->numa;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned words,
                                             unsigned long *set)
{
    const unsigned bits = 8 * sizeof *set;
    (void)device;
    if (set == NULL || words == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
    memset(set, 0, words * sizeof *set);
    for (unsigned cpu = 0; cpu < cpus && cpu < words * bits; cpu++)
        set[cpu / bits] |= 1ul << cpu % bits;
    return NVML_SUCCESS;
}
