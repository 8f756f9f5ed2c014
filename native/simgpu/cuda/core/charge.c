/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/charge.h"

#include "cuda/core/device.h"
#include "cuda/core/mps_client.h"
#include "machine/cgroup.h"
#include "machine/slot.h"

static uint64_t pinned_limit(int device)
{
    const gs_mps_client *client = gs_mps_self();
    return client ? client->pinned_limit[device] : GS_NO_LIMIT;
}

static bool cgroup_limits_exist(void)
{
    return atoi(sim.image->driver) >= 615;
}

static bool cgroups_allow(int device, uint64_t bytes)
{
    for (int i = 0; cgroup_limits_exist() && i < GS_MAX_LIMITS; i++) {
        const gs_limit *limit = &sim.image->limits[i];
        if (limit->present && limit->device == device && limit->hard != GS_NO_LIMIT
            && gs_cgroup_holds(limit->cgroup, sim.slot->cgroup, false)
            && gs_limit_used(sim.image, limit) + bytes > limit->hard)
            return false;
    }
    return true;
}

static bool fits(int device, uint64_t bytes)
{
    return gs_device_used(sim.image, device) + bytes <= sim.image->devices[device].memory;
}

static uint64_t unused(int device)
{
    uint64_t used = gs_device_used(sim.image, device), memory = sim.image->devices[device].memory;
    return used < memory ? memory - used : 0;
}

CUresult gs_charge(int device, uint64_t bytes, bool managed)
{
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    if (device < 0)
        return CUDA_SUCCESS;
    device = gs_home(device);
    gs_image_lock(sim.image);
    gs_use *use = &sim.slot->use[device];
    if (!fits(device, bytes))
        gs_image_reap(sim.image);
    if (fits(device, bytes) && (managed || cgroups_allow(device, bytes))
        && use->bytes + bytes <= pinned_limit(device)) {
        use->bytes += bytes;
        use->managed += managed ? bytes : 0;
        result = CUDA_SUCCESS;
    }
    gs_image_unlock(sim.image);
    return result;
}

void gs_uncharge(int device, uint64_t bytes, bool managed)
{
    if (device < 0)
        return;
    device = gs_home(device);
    gs_image_lock(sim.image);
    gs_use *use = &sim.slot->use[device];
    use->bytes -= MIN(bytes, use->bytes);
    use->managed -= managed ? MIN(bytes, use->managed) : 0;
    gs_image_unlock(sim.image);
}

/*
 * What cuMemGetInfo shows. Under an MPS pinned limit only the free figure follows the limit
 * (measured on an H200, driver 580); under a driver cgroup limit the total does too, but only for
 * the leaf cgroup (r615).
 */
void gs_memory_info(int device, uint64_t *available, uint64_t *total)
{
    device = gs_home(device);
    gs_image_lock(sim.image);
    gs_image_reap(sim.image);
    uint64_t own = sim.slot->use[device].bytes, pinned = pinned_limit(device);
    const gs_limit *limit = cgroup_limits_exist() ? gs_limit_of(sim.image, sim.slot, device) : NULL;
    *total = sim.image->devices[device].memory - sim.image->devices[device].reserved;
    *available = unused(device);
    if (pinned != GS_NO_LIMIT)
        *available = MIN(*available, pinned > own ? pinned - own : 0);
    if (limit && limit->hard != GS_NO_LIMIT) {
        uint64_t used = gs_limit_used(sim.image, limit);
        *available = MIN(*available, limit->hard > used ? limit->hard - used : 0);
        if (gs_cgroup_holds(limit->cgroup, sim.slot->cgroup, true))
            *total = MIN(*total, limit->hard);
    }
    gs_image_unlock(sim.image);
}
