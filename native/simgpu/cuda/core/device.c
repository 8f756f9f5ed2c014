/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/device.h"

CUresult gs_ordinal(CUdevice ordinal, gs_device **device)
{
    CHECK(ordinal >= 0 && ordinal < sim.count, CUDA_ERROR_INVALID_DEVICE);
    *device = gs_device_of(sim.visible[ordinal]);
    return CUDA_SUCCESS;
}

int gs_ordinal_of(int device)
{
    for (int i = 0; i < sim.count; i++)
        if (sim.visible[i] == device)
            return i;
    return -1;
}

/*
 * A restore may have moved this process' memory to another GPU; its handles keep the index of the
 * original GPU.
 */
int gs_home(int device)
{
    int moved = sim.slot ? sim.slot->device_map[device] : -1;
    return moved >= 0 ? moved : device;
}

gs_device *gs_device_of(int device)
{
    return &sim.image->devices[gs_home(device)];
}

gs_use *gs_use_of(int device)
{
    return &sim.slot->use[gs_home(device)];
}

bool gs_uuid(const char *text, CUuuid *uuid)
{
    int digits = 0;
    const char *at = strchr(text, '-');
    memset(uuid, 0, sizeof *uuid);
    for (at = at ? at + 1 : text; *at && digits < 32; at++) {
        const char digit[2] = {*at, 0};
        unsigned int value;
        if (sscanf(digit, "%x", &value) != 1)
            continue;
        uuid->bytes[digits / 2] =
            (char)(uuid->bytes[digits / 2] | (int)value << (digits % 2 ? 0 : 4));
        digits++;
    }
    return digits == 32;
}
