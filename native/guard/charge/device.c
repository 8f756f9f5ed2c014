/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/device.h"

#include "share/attach.h"

enum { DEVICES = 128, UNKNOWN = 0, UNLISTED = 1, LISTED = 2 };

static unsigned char listing[DEVICES];

static bool read_uuid(CUdevice device, CUuuid *uuid)
{
    return cuda()->cuDeviceGetUuid_v2(uuid, device) == CUDA_SUCCESS
           || cuda()->cuDeviceGetUuid(uuid, device) == CUDA_SUCCESS;
}

int gs_gpu_of(CUdevice device)
{
    if (device < 0 || device >= DEVICES || !gs_active())
        return -1;
    unsigned char state = __atomic_load_n(&listing[device], __ATOMIC_RELAXED);
    CUuuid uuid;
    if (state == UNKNOWN && read_uuid(device, &uuid)) {
        int gpu = gs_gpu_by_uuid((const unsigned char *)uuid.bytes);
        state = gpu < 0 ? UNLISTED : (unsigned char)(LISTED + gpu);
        __atomic_store_n(&listing[device], state, __ATOMIC_RELAXED);
    }
    return state < LISTED ? -1 : state - LISTED;
}

int gs_gpu_taken(CUdevice device)
{
    int gpu = gs_gpu_of(device);
    if (gpu < 0 && gs_active())
        gs_count_unlisted();
    return gpu;
}

int gs_gpu_at(const CUmemLocation *location)
{
    return location && location->type == CU_MEM_LOCATION_TYPE_DEVICE ? gs_gpu_taken(location->id)
                                                                     : -1;
}
