/* SPDX-License-Identifier: Apache-2.0 */
/* Events: a set keeps the sequence number of the newest Xid that it delivered. An Xid of 0 stands for
 * a change of the recovery action.
 * One thread at a time waits on a set, as with driver 580.159: another one's wait begins when the
 * first has ended, however short its timeout is. */
#include "nvml/api.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct nvmlEventSet_st {
    pthread_mutex_t waiting;
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
    pthread_mutex_init(&(*out)->waiting, NULL);
    (*out)->delivered = newest();
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlEventSetFree(nvmlEventSet_t set)
{
    if (set == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    pthread_mutex_destroy(&set->waiting);
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

/* Until an Xid after `seen`, or for `ns`; may return early. */
static void wait_after(uint64_t seen, uint64_t ns)
{
    const struct timespec most = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    /* The low half of the number, which comes first on every machine that this runs on. */
    syscall(SYS_futex, &nvml_image()->xid_seq, FUTEX_WAIT, (uint32_t)seen, &most, NULL, 0);
}

nvmlReturn_t answer_nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout)
{
    if (set == NULL || data == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    pthread_mutex_lock(&set->waiting);
    const uint64_t until = gs_now_ns() + timeout * 1000000ull;
    bool found = next(set, data);
    for (uint64_t now; !found && (now = gs_now_ns()) < until; found = next(set, data))
        wait_after(set->delivered, until - now);
    pthread_mutex_unlock(&set->waiting);
    return found ? NVML_SUCCESS : NVML_ERROR_TIMEOUT;
}
