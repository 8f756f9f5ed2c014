/* SPDX-License-Identifier: Apache-2.0 */
/* Devices as cuDeviceGet* sees them. */
#include "cuda/core/device.h"
#include "cuda/core/charge.h"
#include "cuda/core/entry.h"
#include "cuda/core/mps_client.h"

CUresult cuGetErrorName(CUresult error, const char **text)
{
    CHECK(text, CUDA_ERROR_INVALID_VALUE);
    switch ((int)error) {
#define X(name, number, sentence) \
    case number: *text = #name; return CUDA_SUCCESS;
#include "cuda/results.def"
#undef X
    }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    CHECK(text, CUDA_ERROR_INVALID_VALUE);
    switch ((int)error) {
#define X(name, number, sentence) \
    case number: *text = sentence; return CUDA_SUCCESS;
#include "cuda/results.def"
#undef X
    }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count)
{
    ENTER(NEED_INIT);
    CHECK(count, CUDA_ERROR_INVALID_VALUE);
    *count = sim.count;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER(NEED_INIT);
    CHECK(device, CUDA_ERROR_INVALID_VALUE);
    CHECK(ordinal >= 0 && ordinal < sim.count, CUDA_ERROR_INVALID_DEVICE);
    *device = ordinal;
    return CUDA_SUCCESS;
}

/* A function that copies a text of a device. */
#define TEXT(name, member)                                    \
    CUresult name(char *text, int length, CUdevice ordinal)   \
    {                                                         \
        gs_device *device;                                    \
        ENTER(NEED_INIT);                                     \
        CHECK(text && length > 0, CUDA_ERROR_INVALID_VALUE);  \
        TRY(gs_ordinal(ordinal, &device));                    \
        snprintf(text, (size_t)length, "%s", device->member); \
        return CUDA_SUCCESS;                                  \
    }
TEXT(cuDeviceGetName, name)
TEXT(cuDeviceGetPCIBusId, pci)

/* The first form names the physical GPU, the second the MIG instance. */
static CUresult get_uuid(CUuuid *uuid, CUdevice ordinal, bool instance)
{
    gs_device *device;
    CHECK(uuid, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    if (device->parent >= 0 && !instance)
        device = &sim.image->devices[device->parent];
    gs_uuid(device->uuid, uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return get_uuid(uuid, ordinal, false);
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice ordinal)
{
    ENTER(NEED_INIT);
    return get_uuid(uuid, ordinal, true);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice ordinal)
{
    gs_device *device;
    uint64_t available, total;
    ENTER(NEED_INIT);
    CHECK(bytes, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    gs_memory_info(sim.visible[ordinal], &available, &total);
    *bytes = total;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(major && minor, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *major = (int)device->cc_major;
    *minor = (int)device->cc_minor;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetProperties(CUdevprop *properties, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(properties, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *properties = (CUdevprop){.maxThreadsPerBlock = 1024,
                              .maxThreadsDim = {1024, 1024, 64},
                              .maxGridSize = {0x7fffffff, 65535, 65535},
                              .sharedMemPerBlock = 49152,
                              .totalConstantMemory = 65536,
                              .SIMDWidth = 32,
                              .memPitch = 0x7fffffff,
                              .regsPerBlock = (int)device->regs_per_sm,
                              .clockRate = (int)device->clock_sm * 1000,
                              .textureAlign = 512};
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *ordinal, const char *text)
{
    unsigned int domain = 0, bus = 0, slot = 0, d, b, s;
    ENTER(NEED_INIT);
    CHECK(ordinal && text, CUDA_ERROR_INVALID_VALUE);
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        CHECK(sscanf(text, "%x:%x", &bus, &slot) == 2, CUDA_ERROR_INVALID_VALUE);
    }
    for (int i = 0; i < sim.count; i++)
        if (sscanf(gs_device_of(sim.visible[i])->pci, "%x:%x:%x", &d, &b, &s) == 3 && d == domain
            && b == bus && s == slot) {
            *ordinal = i;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetExecAffinitySupport(int *supported, CUexecAffinityType type, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(supported, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *supported = type == CU_EXEC_AFFINITY_TYPE_SM_COUNT && gs_mps_self() != NULL;
    return CUDA_SUCCESS;
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice ordinal, CUdevice peer)
{
    gs_device *here, *there;
    ENTER(NEED_INIT);
    CHECK(can, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &here));
    TRY(gs_ordinal(peer, &there));
    *can = here != there && here->parent < 0 && there->parent < 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute, CUdevice ordinal,
                                 CUdevice peer)
{
    gs_device *here, *there;
    ENTER(NEED_INIT);
    CHECK(value, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &here));
    TRY(gs_ordinal(peer, &there));
    CHECK(here != there, CUDA_ERROR_INVALID_DEVICE);
    bool linked = here->parent < 0 && there->parent < 0;
    *value = attribute == CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED
                 ? linked && here->nvlinks && there->nvlinks
                 : attribute != CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK
                       && attribute != CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED
                       && linked;
    return CUDA_SUCCESS;
}
