// SPDX-License-Identifier: Apache-2.0
// Static SM partitions: chunks of SMs set aside, named UUID/number.
#include "mps/mps.h"

#include <stdlib.h>
#include <string.h>

static uint32_t chunks_of(const gs_device *device) { return device->sms / device->sm_chunk; }

static uint32_t taken(int device) {
    uint32_t chunks = 0;
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++)
        if (mps.partitions[i].chunks > 0 && mps.partitions[i].device == device) chunks += mps.partitions[i].chunks;
    return chunks;
}

bool mps_partition_add(int device, uint32_t chunks, char *name, size_t size) {
    const gs_device *gpu = &mps.image->devices[device];
    if (!mps.static_partitioning || chunks == 0 || taken(device) + chunks > chunks_of(gpu)) return false;
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        mps_partition *partition = &mps.partitions[i];
        if (partition->chunks > 0) continue;
        *partition = (mps_partition){.device = device, .id = ++mps.next_partition, .chunks = chunks};
        snprintf(name, size, "%s/%d", gpu->uuid, partition->id);
        return true;
    }
    return false;
}

bool mps_partition_remove(int device, int id) {
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        mps_partition *partition = &mps.partitions[i];
        if (partition->chunks == 0 || partition->device != device || partition->id != id) continue;
        partition->chunks = 0;
        return true;
    }
    return false;
}

void mps_sm_partition(int count, char **words, FILE *out) {
    char name[96];
    const int device = mps_device_of(words[1]);
    const int value = count == 3 ? atoi(words[2]) : 0;
    if (device < 0 || value <= 0) fprintf(out, "Failed: invalid value \"%s\"\n", words[count - 1]);
    else if (strcmp(words[0], "add") == 0 && mps_partition_add(device, (uint32_t)value, name, sizeof name))
        fprintf(out, "%s\n", name);
    else if (strcmp(words[0], "rm") != 0 || !mps_partition_remove(device, value))
        fprintf(out, "Failed to %s partition (static partitioning is %s)\n", words[0],
                mps.static_partitioning ? "on" : "off");
}

void mps_lspart(int count, char **words, FILE *out) {
    (void)count, (void)words;
    fprintf(out, "%-42s %-10s %-8s %s\n", "GPU", "PARTITION", "CHUNKS", "SMS");
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        const mps_partition *partition = &mps.partitions[i];
        if (partition->chunks == 0) continue;
        const gs_device *gpu = &mps.image->devices[partition->device];
        fprintf(out, "%-42s %-10d %-8u %u\n", gpu->uuid, partition->id, partition->chunks,
                partition->chunks * gpu->sm_chunk);
    }
}
