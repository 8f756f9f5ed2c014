/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/visible_devices.h"

#include "cuda/core/device.h"

static int first_instance(int gpu)
{
    for (int i = GS_MAX_GPUS; i < GS_MAX_DEVICES; i++)
        if (sim.image->devices[i].present && sim.image->devices[i].parent == gpu)
            return i;
    return -1;
}

static int usable(int gpu)
{
    if (gpu < 0 || gpu >= (int)sim.image->gpus || sim.image->devices[gpu].lost)
        return -1;
    return sim.image->devices[gpu].mig ? first_instance(gpu) : gpu;
}

static int by_prefix(const char *uuid, size_t length)
{
    int match = -1;
    for (int i = 0; i < GS_MAX_DEVICES; i++) {
        const gs_device *device = &sim.image->devices[i];
        if (!device->present || strncmp(device->uuid, uuid, length) != 0)
            continue;
        /* An ambiguous abbreviation is invalid. */
        if (match >= 0)
            return -1;
        match = i;
    }
    return match;
}

/* "MIG-GPU-<uuid>/<gi>/<ci>", the form before driver 470. */
static int by_old_mig_name(const char *text)
{
    char uuid[64];
    int gi, ci;
    if (sscanf(text, "MIG-%48[^/]/%d/%d", uuid, &gi, &ci) != 3)
        return -1;
    int gpu = gs_device_by_uuid(sim.image, uuid);
    for (int i = GS_MAX_GPUS; gpu >= 0 && i < GS_MAX_DEVICES; i++) {
        const gs_device *device = &sim.image->devices[i];
        if (device->present && device->parent == gpu && device->gi == gi && device->ci == ci)
            return i;
    }
    return -1;
}

static int resolve(const char *token)
{
    char *end;
    long index = strtol(token, &end, 10);
    if (end != token && !*end)
        return usable((int)index);
    if (strncmp(token, "MIG-GPU-", 8) == 0)
        return by_old_mig_name(token);
    if (strncmp(token, "MIG-", 4) == 0)
        return gs_device_by_uuid(sim.image, token);
    if (strncmp(token, "GPU-", 4) == 0) {
        int device = by_prefix(token, strlen(token));
        return device < 0 || sim.image->devices[device].parent >= 0 ? device : usable(device);
    }
    return -1;
}

static void every_device(void)
{
    for (int i = 0; i < (int)sim.image->gpus; i++)
        if (!sim.image->devices[i].mig && usable(i) >= 0)
            sim.visible[sim.count++] = i;
    for (int i = 0; sim.count == 0 && i < (int)sim.image->gpus; i++)
        if (usable(i) >= 0)
            sim.visible[sim.count++] = usable(i);
}

void gs_visible_devices(void)
{
    const char *variable = getenv("CUDA_VISIBLE_DEVICES");
    char list[2048], *rest = list, *token;
    sim.count = 0;
    if (!variable) {
        every_device();
        return;
    }
    snprintf(list, sizeof list, "%s", variable);
    while ((token = strsep(&rest, ",")) && sim.count < GS_MAX_DEVICES) {
        token += strspn(token, " ");
        int device = resolve(token);
        /* An invalid entry hides everything after it. */
        if (device < 0)
            return;
        if (gs_ordinal_of(device) >= 0) {
            sim.count = 0; /* a duplicate makes every device invisible */
            return;
        }
        sim.visible[sim.count++] = device;
    }
}
