/* SPDX-License-Identifier: Apache-2.0 */
/* Health of a device: ECC, temperature, power, clocks, PCIe link, field values. */
#include "nvml/api.h"

#include <string.h>
#include <time.h>

#define UNSIGNED_OUT(name, expression)                             \
    nvmlReturn_t answer_##name(nvmlDevice_t device, unsigned *out) \
    {                                                              \
        const gs_device *gpu = nvml_device(device);                \
        (void)gpu;                                                 \
        if (out == NULL)                                           \
            return NVML_ERROR_INVALID_ARGUMENT;                    \
        *out = (unsigned)(expression);                             \
        return NVML_SUCCESS;                                       \
    }

/* An eighth of the limit when idle, up to the limit under load, as on an H100. */
static unsigned idle_power(const gs_device *gpu)
{
    return gpu->power_limit_default / 8;
}

static unsigned power(const gs_device *gpu)
{
    return idle_power(gpu) + (gpu->power_limit - idle_power(gpu)) / 100 * nvml_percent(&gpu->busy);
}

UNSIGNED_OUT(nvmlDeviceGetPowerUsage, power(gpu))
UNSIGNED_OUT(nvmlDeviceGetPowerManagementLimit, gpu->power_limit)
UNSIGNED_OUT(nvmlDeviceGetPowerManagementDefaultLimit, gpu->power_limit_default)
UNSIGNED_OUT(nvmlDeviceGetEnforcedPowerLimit, gpu->power_limit)
UNSIGNED_OUT(nvmlDeviceGetPerformanceState, 0)
UNSIGNED_OUT(nvmlDeviceGetCurrPcieLinkGeneration, gpu->pcie_gen)
UNSIGNED_OUT(nvmlDeviceGetMaxPcieLinkGeneration, gpu->pcie_gen)
UNSIGNED_OUT(nvmlDeviceGetCurrPcieLinkWidth, gpu->pcie_width)
UNSIGNED_OUT(nvmlDeviceGetMaxPcieLinkWidth, gpu->pcie_width)
UNSIGNED_OUT(nvmlDeviceGetPcieReplayCounter, 0)

nvmlReturn_t answer_nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned counter,
                                                unsigned *kib)
{
    (void)device;
    if (kib == NULL || counter > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    *kib = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device,
                                                        unsigned long long *out)
{
    const gs_device *gpu = nvml_device(device);
    struct timespec now;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    const uint64_t up_ms = (now_ns - nvml_image()->boot_ns) / 1000000,
                   busy_ms = gpu->busy.total_ns / 1000000;
    *out = (up_ms * idle_power(gpu) + busy_ms * (gpu->power_limit - idle_power(gpu))) / 1000;
    return NVML_SUCCESS;
}

static unsigned temperature(const gs_device *gpu)
{
    return gpu->temperature + nvml_percent(&gpu->busy) / 3;
}

nvmlReturn_t answer_nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor,
                                             unsigned *celsius)
{
    if (celsius == NULL || sensor != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    *celsius = temperature(nvml_device(device));
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *out)
{
    if (out == NULL || out->sensorType != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (out->version != NVML_STRUCT_VERSION(nvmlTemperature_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->temperature = (int)temperature(nvml_device(device));
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, unsigned kind,
                                                      unsigned *celsius)
{
    static const unsigned thresholds[] = {92, 89, 95, 87}; /* shutdown, slowdown, memory, GPU */
    (void)device;
    if (celsius == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (kind >= sizeof thresholds / sizeof *thresholds)
        return NVML_ERROR_NOT_SUPPORTED;
    *celsius = thresholds[kind];
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned kind, unsigned *mhz)
{
    const gs_device *gpu = nvml_device(device);
    if (mhz == NULL || kind >= NVML_CLOCK_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *mhz = kind == NVML_CLOCK_MEM ? gpu->clock_mem : gpu->clock_sm;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned kind, unsigned *mhz)
{
    const gs_device *gpu = nvml_device(device);
    const unsigned idle = 345;
    nvmlReturn_t refused = answer_nvmlDeviceGetMaxClockInfo(device, kind, mhz);
    if (refused != NVML_SUCCESS || kind == NVML_CLOCK_MEM)
        return refused;
    if (nvml_percent(&gpu->busy) == 0)
        *mhz = idle;
    else if (gpu->throttle != 0)
        *mhz /= 2;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device,
                                                           unsigned long long *out)
{
    const gs_device *gpu = nvml_device(device);
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = gpu->throttle;
    if (gpu->throttle == 0 && nvml_percent(&gpu->busy) == 0)
        *out = nvmlClocksEventReasonGpuIdle;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device,
                                                             unsigned long long *out)
{
    (void)device;
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = 0x1ff;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current,
                                         nvmlEnableState_t *pending)
{
    if (current == NULL || pending == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *current = nvml_device(device)->ecc;
    *pending = nvml_device(device)->ecc_pending;
    return NVML_SUCCESS;
}

/* Only uncorrectable errors are injected; the corrected count is always zero. */
nvmlReturn_t answer_nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned kind,
                                                unsigned counter, unsigned long long *count)
{
    const gs_device *gpu = nvml_device(device);
    if (count == NULL || kind > 1 || counter > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!gpu->ecc)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = kind == 0 ? 0 : counter == 0 ? gpu->ecc_volatile : gpu->ecc_aggregate;
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, unsigned kind,
                                                    unsigned counter, unsigned location,
                                                    unsigned long long *count)
{
    const unsigned device_memory = 2;
    nvmlReturn_t refused = answer_nvmlDeviceGetTotalEccErrors(device, kind, counter, count);
    if (refused == NVML_SUCCESS && location != device_memory)
        *count = 0;
    return refused;
}

nvmlReturn_t answer_nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *correctable,
                                              unsigned *uncorrectable, unsigned *pending,
                                              unsigned *failed)
{
    const gs_device *gpu = nvml_device(device);
    if (correctable == NULL || uncorrectable == NULL || pending == NULL || failed == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *correctable = *failed = 0;
    *uncorrectable = (unsigned)gpu->ecc_aggregate;
    *pending = gpu->ecc_uncorrectable;
    return NVML_SUCCESS;
}

static unsigned long long field(const gs_device *gpu, nvmlDevice_t device, unsigned id,
                                nvmlReturn_t *result)
{
    unsigned long long energy = 0;
    *result = NVML_SUCCESS;
    switch (id) {
    case NVML_FI_DEV_ECC_CURRENT: return gpu->ecc;
    case NVML_FI_DEV_ECC_PENDING: return gpu->ecc_pending;
    case NVML_FI_DEV_ECC_SBE_VOL_TOTAL:
    case NVML_FI_DEV_ECC_SBE_AGG_TOTAL:
    case NVML_FI_DEV_REMAPPED_COR:
    case NVML_FI_DEV_REMAPPED_FAILURE: return 0;
    case NVML_FI_DEV_ECC_DBE_VOL_TOTAL: return gpu->ecc_volatile;
    case NVML_FI_DEV_ECC_DBE_AGG_TOTAL:
    case NVML_FI_DEV_REMAPPED_UNC: return gpu->ecc_aggregate;
    case NVML_FI_DEV_REMAPPED_PENDING: return gpu->ecc_uncorrectable;
    case NVML_FI_DEV_NVLINK_LINK_COUNT: return gpu->nvlinks;
    case NVML_FI_DEV_POWER_AVERAGE:
    case NVML_FI_DEV_POWER_INSTANT: return power(gpu);
    case NVML_FI_DEV_GET_GPU_RECOVERY_ACTION:
        return gpu->recovery || !gpu->ecc_uncorrectable ? gpu->recovery
                                                        : NVML_GPU_RECOVERY_ACTION_GPU_RESET;
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
        *result = answer_nvmlDeviceGetTotalEnergyConsumption(device, &energy);
        return energy;
    default: *result = NVML_ERROR_NOT_SUPPORTED; return 0;
    }
}

static bool is_long(unsigned id)
{
    return id == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
           || (id >= NVML_FI_DEV_ECC_SBE_VOL_TOTAL && id <= NVML_FI_DEV_ECC_DBE_AGG_TOTAL);
}

nvmlReturn_t answer_nvmlDeviceGetFieldValues(nvmlDevice_t device, int count,
                                             nvmlFieldValue_t *values)
{
    struct timespec now;
    if (values == NULL || count <= 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *value = &values[i];
        value->timestamp = now.tv_sec * 1000000ll + now.tv_nsec / 1000;
        value->latencyUsec = 0;
        value->value.ullVal =
            field(nvml_device(device), device, value->fieldId, &value->nvmlReturn);
        value->valueType = is_long(value->fieldId) ? NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
                                                   : NVML_VALUE_TYPE_UNSIGNED_INT;
    }
    return NVML_SUCCESS;
}
