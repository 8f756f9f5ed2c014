/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/device.h"

#include "share/attach.h"

enum { DEVICES = 128, UNKNOWN = 0, UNLISTED = 1, LISTED = 2 };

/* Ordinals do not change while a process lives, so each is asked about once. */
static unsigned char known[DEVICES];

static bool read_uuid(CUdevice device, CUuuid *uuid)
{
    return cuda()->cuDeviceGetUuid_v2(uuid, device) == CUDA_SUCCESS
           || cuda()->cuDeviceGetUuid(uuid, device) == CUDA_SUCCESS;
}

int gs_gpu_of(CUdevice device)
{
    if (device < 0 || device >= DEVICES || !gs_active())
        return -1;
    unsigned char seen = __atomic_load_n(&known[device], __ATOMIC_RELAXED);
    CUuuid uuid;
    if (seen == UNKNOWN && read_uuid(device, &uuid)) {
        int gpu = gs_gpu_by_uuid((const unsigned char *)uuid.bytes);
        seen = gpu < 0 ? UNLISTED : (unsigned char)(LISTED + gpu);
        __atomic_store_n(&known[device], seen, __ATOMIC_RELAXED);
    }
    return seen < LISTED ? -1 : seen - LISTED;
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
