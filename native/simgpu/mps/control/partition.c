/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/control/partition.h"

#include <stdlib.h>
#include <string.h>

#include "mps/state.h"

static uint32_t chunks_of(const gs_device *device)
{
    return device->sms / device->sm_chunk;
}

static uint32_t taken(int device)
{
    uint32_t chunks = 0;
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++)
        if (mps.partitions[i].chunks > 0 && mps.partitions[i].device == device)
            chunks += mps.partitions[i].chunks;
    return chunks;
}

bool mps_partition_add(int device, uint32_t chunks, char *name, size_t size)
{
    const gs_device *gpu = &mps.image->devices[device];
    if (!mps.static_partitioning || chunks == 0 || taken(device) + chunks > chunks_of(gpu))
        return false;
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        mps_partition *partition = &mps.partitions[i];
        if (partition->chunks > 0)
            continue;
        *partition =
            (mps_partition){.device = device, .id = ++mps.next_partition, .chunks = chunks};
        snprintf(name, size, "%s/%d", gpu->uuid, partition->id);
        return true;
    }
    return false;
}

bool mps_partition_remove(int device, int id)
{
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        mps_partition *partition = &mps.partitions[i];
        if (partition->chunks == 0 || partition->device != device || partition->id != id)
            continue;
        partition->chunks = 0;
        return true;
    }
    return false;
}
