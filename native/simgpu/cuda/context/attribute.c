/* SPDX-License-Identifier: Apache-2.0 */
/* Device attributes: those of the machine, and those that are the same on every recent GPU. */
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/mps_client.h"

#define FIXED(name, value) [CU_DEVICE_ATTRIBUTE_##name] = value

static const int fixed[CU_DEVICE_ATTRIBUTE_MAX] = {
    FIXED(MAX_THREADS_PER_BLOCK, 1024),
    FIXED(MAX_BLOCK_DIM_X, 1024),
    FIXED(MAX_BLOCK_DIM_Y, 1024),
    FIXED(MAX_BLOCK_DIM_Z, 64),
    FIXED(MAX_GRID_DIM_X, 0x7fffffff),
    FIXED(MAX_GRID_DIM_Y, 65535),
    FIXED(MAX_GRID_DIM_Z, 65535),
    FIXED(MAX_SHARED_MEMORY_PER_BLOCK, 49152),
    FIXED(TOTAL_CONSTANT_MEMORY, 65536),
    FIXED(WARP_SIZE, 32),
    FIXED(MAX_PITCH, 0x7fffffff),
    FIXED(TEXTURE_ALIGNMENT, 512),
    FIXED(TEXTURE_PITCH_ALIGNMENT, 32),
    FIXED(SURFACE_ALIGNMENT, 512),
    FIXED(GPU_OVERLAP, 1),
    FIXED(CAN_MAP_HOST_MEMORY, 1),
    FIXED(CONCURRENT_KERNELS, 1),
    FIXED(ASYNC_ENGINE_COUNT, 3),
    FIXED(UNIFIED_ADDRESSING, 1),
    FIXED(STREAM_PRIORITIES_SUPPORTED, 1),
    FIXED(GLOBAL_L1_CACHE_SUPPORTED, 1),
    FIXED(LOCAL_L1_CACHE_SUPPORTED, 1),
    FIXED(MANAGED_MEMORY, 1),
    FIXED(CONCURRENT_MANAGED_ACCESS, 1),
    FIXED(COMPUTE_PREEMPTION_SUPPORTED, 1),
    FIXED(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1),
    FIXED(COOPERATIVE_LAUNCH, 1),
    FIXED(HOST_REGISTER_SUPPORTED, 1),
    FIXED(VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1),
    FIXED(HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1),
    FIXED(MAX_BLOCKS_PER_MULTIPROCESSOR, 32),
    FIXED(RESERVED_SHARED_MEMORY_PER_BLOCK, 1024),
    FIXED(READ_ONLY_HOST_REGISTER_SUPPORTED, 1),
    FIXED(MEMORY_POOLS_SUPPORTED, 1),
    FIXED(MEMPOOL_SUPPORTED_HANDLE_TYPES, 1),
    FIXED(CAN_USE_64_BIT_STREAM_MEM_OPS, 1),
    FIXED(CAN_USE_STREAM_WAIT_VALUE_NOR, 1),
    FIXED(CAN_USE_STREAM_MEM_OPS_V1, 1),
    FIXED(CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 1),
    FIXED(IPC_EVENT_SUPPORTED, 1),
    FIXED(MEM_SYNC_DOMAIN_COUNT, 4),
    FIXED(UNIFIED_FUNCTION_POINTERS, 1),
    FIXED(SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2),
    FIXED(MAXIMUM_TEXTURE1D_WIDTH, 131072),
    FIXED(MAXIMUM_TEXTURE2D_WIDTH, 131072),
    FIXED(MAXIMUM_TEXTURE2D_HEIGHT, 65536),
    FIXED(MAXIMUM_TEXTURE3D_WIDTH, 16384),
    FIXED(MAXIMUM_TEXTURE3D_HEIGHT, 16384),
    FIXED(MAXIMUM_TEXTURE3D_DEPTH, 16384),
    FIXED(MAXIMUM_TEXTURE2D_LAYERED_WIDTH, 32768),
    FIXED(MAXIMUM_TEXTURE2D_LAYERED_HEIGHT, 32768),
    FIXED(MAXIMUM_TEXTURE2D_LAYERED_LAYERS, 2048),
    FIXED(MAXIMUM_TEXTURE1D_LAYERED_WIDTH, 32768),
    FIXED(MAXIMUM_TEXTURE1D_LAYERED_LAYERS, 2048),
    FIXED(MAXIMUM_TEXTURECUBEMAP_WIDTH, 32768),
    FIXED(MAXIMUM_SURFACE1D_WIDTH, 32768),
    FIXED(MAXIMUM_SURFACE2D_WIDTH, 131072),
    FIXED(MAXIMUM_SURFACE2D_HEIGHT, 65536),
    FIXED(MAXIMUM_SURFACE3D_WIDTH, 16384),
    FIXED(MAXIMUM_SURFACE3D_HEIGHT, 16384),
    FIXED(MAXIMUM_SURFACE3D_DEPTH, 16384),
    FIXED(MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH, 32768),
    FIXED(MAXIMUM_TEXTURE2D_LINEAR_WIDTH, 131072),
    FIXED(MAXIMUM_TEXTURE2D_LINEAR_HEIGHT, 65000),
    FIXED(MAXIMUM_TEXTURE2D_LINEAR_PITCH, 2097120),
    FIXED(MAX_ACCESS_POLICY_WINDOW_SIZE, 134213632),
    FIXED(NUMA_ID, -1),
};

static int pci_part(const gs_device *device, int part)
{
    unsigned int field[3] = {0};
    sscanf(device->pci, "%x:%x:%x", &field[0], &field[1], &field[2]);
    return (int)field[part];
}

static bool from_machine(const gs_device *device, CUdevice_attribute attribute, int *value)
{
#define FROM(name, expression) \
    case CU_DEVICE_ATTRIBUTE_##name: *value = (int)(expression); return true
    switch (attribute) {
        FROM(MULTIPROCESSOR_COUNT, gs_mps_sms(device));
        FROM(COMPUTE_CAPABILITY_MAJOR, device->cc_major);
        FROM(COMPUTE_CAPABILITY_MINOR, device->cc_minor);
        FROM(COMPUTE_MODE, device->compute_mode);
        FROM(CLOCK_RATE, device->clock_sm * 1000);
        FROM(MEMORY_CLOCK_RATE, device->clock_mem * 1000);
        FROM(GLOBAL_MEMORY_BUS_WIDTH, device->memory_bus);
        FROM(L2_CACHE_SIZE, device->l2);
        FROM(MAX_PERSISTING_L2_CACHE_SIZE, device->l2 / 8 * 5);
        FROM(MAX_THREADS_PER_MULTIPROCESSOR, device->threads_per_sm);
        FROM(MAX_REGISTERS_PER_BLOCK, device->regs_per_sm);
        FROM(MAX_REGISTERS_PER_MULTIPROCESSOR, device->regs_per_sm);
        FROM(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, device->shared_per_sm);
        FROM(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device->shared_optin);
        FROM(ECC_ENABLED, device->ecc);
        FROM(PCI_DOMAIN_ID, pci_part(device, 0));
        FROM(PCI_BUS_ID, pci_part(device, 1));
        FROM(PCI_DEVICE_ID, pci_part(device, 2));
        FROM(GPU_PCI_DEVICE_ID, device->pci_id);
        FROM(GPU_PCI_SUBSYSTEM_ID, device->pci_subsystem);
        FROM(CLUSTER_LAUNCH, device->cc_major >= 9);
        FROM(TENSOR_MAP_ACCESS_SUPPORTED, device->cc_major >= 9);
        FROM(HOST_NUMA_ID, device->numa);
        FROM(MPS_ENABLED, gs_mps_self() != NULL);
    default: return false;
    }
#undef FROM
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(value && attribute > 0 && attribute < CU_DEVICE_ATTRIBUTE_MAX, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    if (!from_machine(device, attribute, value))
        *value = fixed[attribute];
    return CUDA_SUCCESS;
}
