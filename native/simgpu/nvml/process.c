/* SPDX-License-Identifier: Apache-2.0 */
/* Processes on a device: their memory and their utilization. */
#include "nvml/api.h"
#include "machine/slot.h"

#include <time.h>

typedef enum { COMPUTE, MPS_CLIENTS, GRAPHICS } process_kind;

/*
 * An MPS client is in both lists: tools show it as M+C. No process uses graphics, so the graphics
 * lists are empty.
 */
static bool listed(const gs_slot *slot, int index, process_kind kind)
{
    const gs_use *use = &slot->use[index];
    if (slot->pid == 0 || (use->contexts == 0 && use->bytes == 0) || kind == GRAPHICS)
        return false;
    return kind == COMPUTE || slot->mps_client >= 0;
}

static nvmlProcessInfo_t describe(const gs_slot *slot, int index)
{
    const gs_device *device = &nvml_image()->devices[index];
    const bool mig = device->parent >= 0;
    return (nvmlProcessInfo_t){(unsigned)gs_slot_pid(slot), slot->use[index].bytes,
                               mig ? (unsigned)device->gi : NVML_NOT_AVAILABLE,
                               mig ? (unsigned)device->ci : NVML_NOT_AVAILABLE};
}

/* Writes at most `room` entries and returns how many there are. */
static unsigned collect(nvmlDevice_t device, process_kind kind, nvmlProcessInfo_t *list,
                        unsigned room)
{
    const gs_image *image = nvml_image();
    unsigned count = 0;
    gs_image_reap(nvml_image());
    for (int s = 0; s < GS_MAX_SLOTS; s++)
        for (int d = 0; image->slots[s].pid != 0 && d < GS_MAX_DEVICES; d++) {
            if (!nvml_holds(nvml_index(device), d) || !listed(&image->slots[s], d, kind))
                continue;
            if (count < room)
                list[count] = describe(&image->slots[s], d);
            count++;
        }
    return count;
}

static nvmlReturn_t answer_list(nvmlDevice_t device, process_kind kind, unsigned *count,
                                nvmlProcessInfo_t *list)
{
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = list == NULL ? 0 : *count;
    *count = collect(device, kind, list, room);
    return *count > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static nvmlReturn_t answer_list_v1(nvmlDevice_t device, process_kind kind, unsigned *count,
                                   nvmlProcessInfo_v1_t *list)
{
    nvmlProcessInfo_t full[GS_MAX_SLOTS];
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = list == NULL ? 0 : *count,
                   total = collect(device, kind, full, GS_MAX_SLOTS);
    *count = total;
    for (unsigned i = 0; i < total && i < room && i < GS_MAX_SLOTS; i++)
        list[i] = (nvmlProcessInfo_v1_t){full[i].pid, full[i].usedGpuMemory};
    return total > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

#define LISTS(name, kind)                                                                          \
    nvmlReturn_t answer_##name(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *list)   \
    {                                                                                              \
        return answer_list_v1(device, kind, count, list);                                          \
    }                                                                                              \
    nvmlReturn_t answer_##name##_v2(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *list) \
    {                                                                                              \
        return answer_list(device, kind, count, list);                                             \
    }                                                                                              \
    nvmlReturn_t answer_##name##_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *list) \
    {                                                                                              \
        return answer_list(device, kind, count, list);                                             \
    }
LISTS(nvmlDeviceGetComputeRunningProcesses, COMPUTE)
LISTS(nvmlDeviceGetMPSComputeRunningProcesses, MPS_CLIENTS)
LISTS(nvmlDeviceGetGraphicsRunningProcesses, GRAPHICS)

nvmlReturn_t answer_nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device,
                                                          nvmlProcessDetailList_t *out)
{
    static const process_kind kinds[] = {COMPUTE, GRAPHICS, MPS_CLIENTS};
    nvmlProcessInfo_t full[GS_MAX_SLOTS];
    if (out == NULL || out->mode >= sizeof kinds / sizeof *kinds)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = out->procArray == NULL ? 0 : out->numProcArrayEntries;
    const unsigned total = collect(device, kinds[out->mode], full, GS_MAX_SLOTS);
    out->numProcArrayEntries = total;
    for (unsigned i = 0; i < total && i < room && i < GS_MAX_SLOTS; i++)
        out->procArray[i] =
            (nvmlProcessDetail_v1_t){full[i].pid, full[i].usedGpuMemory, full[i].gpuInstanceId,
                                     full[i].computeInstanceId, 0};
    return total > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static unsigned memory_percent(nvmlDevice_t device, unsigned busy)
{
    const uint64_t total = nvml_device(device)->memory;
    return total == 0 ? 0
                      : (unsigned)(busy * gs_device_used(nvml_image(), nvml_index(device)) / total);
}

nvmlReturn_t answer_nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    out->gpu = nvml_percent(&nvml_device(device)->busy);
    out->memory = memory_percent(device, out->gpu);
    return NVML_SUCCESS;
}

static nvmlReturn_t engine_idle(unsigned *percent, unsigned *period)
{
    if (percent == NULL || period == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *percent = 0;
    *period = 167000;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned *percent,
                                                    unsigned *period)
{
    (void)device;
    return engine_idle(percent, period);
}

nvmlReturn_t answer_nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned *percent,
                                                    unsigned *period)
{
    (void)device;
    return engine_idle(percent, period);
}

static unsigned long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

static unsigned process_percent(const gs_slot *slot, int device)
{
    unsigned percent = 0;
    for (int d = 0; d < GS_MAX_DEVICES; d++)
        if (nvml_holds(device, d))
            percent += nvml_percent(&slot->use[d].busy);
    return percent > 100 ? 100 : percent;
}

static unsigned collect_samples(nvmlDevice_t device, nvmlProcessUtilizationInfo_v1_t *list,
                                unsigned room)
{
    const gs_image *image = nvml_image();
    unsigned count = 0;
    gs_image_reap(nvml_image());
    for (int s = 0; s < GS_MAX_SLOTS; s++) {
        const gs_slot *slot = &image->slots[s];
        const unsigned busy = slot->pid == 0 ? 0 : process_percent(slot, nvml_index(device));
        if (busy == 0)
            continue;
        if (count < room)
            list[count] =
                (nvmlProcessUtilizationInfo_v1_t){.timeStamp = now_us(),
                                                  .pid = (unsigned)gs_slot_pid(slot),
                                                  .smUtil = busy,
                                                  .memUtil = memory_percent(device, busy)};
        count++;
    }
    return count;
}

nvmlReturn_t answer_nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                    nvmlProcessUtilizationSample_t *samples,
                                                    unsigned *count, unsigned long long since)
{
    nvmlProcessUtilizationInfo_v1_t full[GS_MAX_SLOTS];
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = samples == NULL ? 0 : *count;
    *count = since > now_us() ? 0 : collect_samples(device, full, GS_MAX_SLOTS);
    if (*count == 0)
        return NVML_ERROR_NOT_FOUND;
    for (unsigned i = 0; i < *count && i < room; i++)
        samples[i] = (nvmlProcessUtilizationSample_t){
            full[i].pid, full[i].timeStamp, full[i].smUtil, full[i].memUtil, 0, 0};
    return *count > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                          nvmlProcessesUtilizationInfo_t *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != NVML_STRUCT_VERSION(nvmlProcessesUtilizationInfo_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const unsigned room = out->procUtilArray == NULL ? 0 : out->processSamplesCount;
    out->processSamplesCount = collect_samples(device, out->procUtilArray, room);
    if (out->processSamplesCount == 0)
        return NVML_ERROR_NOT_FOUND;
    return out->processSamplesCount > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
