/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/chunk.h"

#include "charge/device.h"

enum { DEVICES = 64 };

static int attribute(CUdevice_attribute which, CUdevice device)
{
    int value = 0;
    return cuda()->cuDeviceGetAttribute(&value, which, device) == CUDA_SUCCESS ? value : 0;
}

/* Read once per device. Bit 0: read already, 1: supported, 2: exportable, 3: RDMA. */
static unsigned traits(CUdevice device)
{
    static unsigned char bits_of[DEVICES];
    if (device < 0 || device >= DEVICES)
        return 0;
    unsigned char bits = __atomic_load_n(&bits_of[device], __ATOMIC_RELAXED);
    if (bits)
        return bits;
    bits = 1;
    bits |= attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device) ? 2 : 0;
    bits |=
        attribute(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, device) ? 4 : 0;
    bits |= attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, device) ? 8 : 0;
    __atomic_store_n(&bits_of[device], bits, __ATOMIC_RELAXED);
    return bits;
}

bool gs_chunks_possible(CUdevice device)
{
    return traits(device) & 2;
}

CUresult gs_chunk_create(struct gs_chunk *chunk, CUdevice device)
{
    CUmemAllocationProp properties = {
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, device},
        .requestedHandleTypes =
            traits(device) & 4 ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE,
        .allocFlags.gpuDirectRDMACapable = (traits(device) & 8) != 0,
    };
    return cuda()->cuMemCreate(&chunk->handle, chunk->bytes, &properties, 0);
}

CUresult gs_chunk_map(struct gs_chunk *chunk, CUdeviceptr at)
{
    CUresult result = cuda()->cuMemMap(at, chunk->bytes, 0, chunk->handle, 0);
    if (result == CUDA_SUCCESS)
        chunk->here = true;
    else
        cuda()->cuMemRelease(chunk->handle);
    return result;
}

static bool reaches(CUdevice device, CUdevice other)
{
    int can = 0;
    return device != other && gs_gpu_of(other) >= 0
           && cuda()->cuDeviceCanAccessPeer(&can, other, device) == CUDA_SUCCESS && can;
}

CUresult gs_chunks_open(CUdeviceptr at, uint64_t bytes, CUdevice device)
{
    CUmemAccessDesc access[DEVICES];
    size_t count = 1;
    int devices = 1;
    access[0] = (CUmemAccessDesc){{CU_MEM_LOCATION_TYPE_DEVICE, device},
                                  CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    cuda()->cuDeviceGetCount(&devices);
    for (CUdevice other = 0; other < devices && count < DEVICES; other++)
        if (reaches(device, other)) {
            access[count] = access[0];
            access[count++].location.id = other;
        }
    CUresult result = cuda()->cuMemSetAccess(at, bytes, access, count);
    if (result != CUDA_SUCCESS && count > 1)
        result = cuda()->cuMemSetAccess(at, bytes, access, 1);
    return result;
}

CUresult gs_chunk_drop(struct gs_chunk *chunk, CUdeviceptr at)
{
    if (!chunk->here)
        return CUDA_SUCCESS;
    CUresult result = cuda()->cuMemUnmap(at, chunk->bytes);
    if (result == CUDA_SUCCESS)
        result = cuda()->cuMemRelease(chunk->handle);
    chunk->here = false;
    return result;
}
