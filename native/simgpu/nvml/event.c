/* SPDX-License-Identifier: Apache-2.0 */
/* Events: a set keeps the sequence number of the newest Xid that it delivered; waiting polls the image.
 * An Xid of 0 stands for a change of the recovery action. */
#include "nvml/api.h"

#include <stdlib.h>
#include <time.h>

enum { POLL_MS = 100 };

struct nvmlEventSet_st {
    uint64_t delivered; /* the newest xid sequence number */
    uint64_t kinds[GS_MAX_DEVICES];
};

static uint64_t newest(void)
{
    gs_image_lock(nvml_image());
    uint64_t seq = nvml_image()->xid_seq;
    gs_image_unlock(nvml_image());
    return seq;
}

nvmlReturn_t answer_nvmlEventSetCreate(nvmlEventSet_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return NVML_ERROR_MEMORY;
    (*out)->delivered = newest();
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlEventSetFree(nvmlEventSet_t set)
{
    if (set == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    free(set);
    return NVML_SUCCESS;
}

static const unsigned long long supported =
    nvmlEventTypeXidCriticalError | nvmlEventTypeDoubleBitEccError | nvmlEventTypeGpuRecoveryAction;

nvmlReturn_t answer_nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *out)
{
    (void)device;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = supported;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long kinds,
                                             nvmlEventSet_t set)
{
    if (set == NULL || kinds == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    if ((kinds & ~supported) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    set->kinds[nvml_index(device)] |= kinds;
    return NVML_SUCCESS;
}

static bool matches(nvmlEventSet_t set, const gs_xid *event, nvmlEventData_t *data)
{
    const unsigned double_bit_ecc = 48;
    const gs_device *device = &nvml_image()->devices[event->device];
    const int gpu = device->parent < 0 ? event->device : device->parent;
    const uint64_t kinds = set->kinds[gpu];
    *data = (nvmlEventData_t){&nvml_handles[gpu], nvmlEventTypeXidCriticalError, event->xid,
                              device->parent < 0 ? NVML_NOT_AVAILABLE : (unsigned)device->gi,
                              device->parent < 0 ? NVML_NOT_AVAILABLE : (unsigned)device->ci};
    if (event->xid == 0) {
        data->eventType = nvmlEventTypeGpuRecoveryAction;
        return (kinds & nvmlEventTypeGpuRecoveryAction) != 0;
    }
    if ((kinds & nvmlEventTypeXidCriticalError) != 0)
        return true;
    data->eventType = nvmlEventTypeDoubleBitEccError;
    return (kinds & nvmlEventTypeDoubleBitEccError) != 0 && event->xid == double_bit_ecc;
}

static bool next(nvmlEventSet_t set, nvmlEventData_t *data)
{
    const gs_image *image = nvml_image();
    bool matched = false;
    gs_image_lock(nvml_image());
    while (!matched && set->delivered < image->xid_seq) {
        const gs_xid *event = &image->xids[++set->delivered % GS_MAX_XIDS];
        matched = event->seq == set->delivered && matches(set, event, data);
    }
    gs_image_unlock(nvml_image());
    return matched;
}

nvmlReturn_t answer_nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout)
{
    if (set == NULL || data == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const uint64_t until = gs_now_ns() + timeout * 1000000ull;
    const struct timespec pause = {0, POLL_MS * 1000000l};
    while (!next(set, data)) {
        if (gs_now_ns() >= until)
            return NVML_ERROR_TIMEOUT;
        nanosleep(&pause, NULL);
    }
    return NVML_SUCCESS;
}
