/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <string.h>
#include <strings.h>

#include "nvml.h"

bool same_uuid(const char *a, const char *b)
{
    const char *left = strchr(a, '-'), *right = strchr(b, '-');
    return left && right && strcasecmp(left, right) == 0;
}

/* The driver returns UUIDs of MIG instances without a prefix; the name tells which it is. */
static void write_uuid(struct device *device, const CUuuid *uuid)
{
    int at = snprintf(device->uuid, UUID_TEXT, "%s", strstr(device->name, " MIG ") ? "MIG" : "GPU");
    for (int i = 0; i < 16; i++) {
        bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
        at += snprintf(device->uuid + at, (size_t)(UUID_TEXT - at), "%s%02x", dash ? "-" : "",
                       (unsigned char)uuid->bytes[i]);
    }
}

static int attribute(const struct device *device, CUdevice_attribute which)
{
    int value = 0;
    driver.cuDeviceGetAttribute(&value, which, device->handle);
    return value;
}

static CUresult describe(struct device *device)
{
    CUuuid uuid;
    size_t total = 0;
    driver.cuDeviceGetName(device->name, sizeof device->name, device->handle);
    CUresult result = driver.cuDeviceGetUuid_v2(&uuid, device->handle);
    if (result != CUDA_SUCCESS)
        return result;
    write_uuid(device, &uuid);
    result = driver.cuDeviceTotalMem_v2(&total, device->handle);
    device->total = total;
    device->multiprocessors = attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    device->texture_width = attribute(device, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH);
    device->texture_height = attribute(device, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_HEIGHT);
    device->texture_depth = attribute(device, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH);
    return result;
}

CUresult device_find(struct device *device, int ordinal)
{
    *device = (struct device){.ordinal = ordinal, .gpu_free = -1, .context = -1};
    CUresult result = driver.cuDeviceGet(&device->handle, ordinal);
    return result == CUDA_SUCCESS ? describe(device) : result;
}

CUresult device_open(struct device *device)
{
    CUcontext context;
    size_t free = 0, total = 0;
    int64_t before = nvml_gpu_used(device->uuid);
    CUresult result = driver.cuDevicePrimaryCtxRetain(&context, device->handle);
    if (result != CUDA_SUCCESS)
        return result;
    driver.cuCtxSetCurrent(context);
    device->context = nvml_context(device->uuid, before);
    result = driver.cuMemGetInfo_v2(&free, &total);
    device->free = free;
    return result == CUDA_SUCCESS ? driver.cuStreamCreate(&device->stream, CU_STREAM_NON_BLOCKING)
                                  : result;
}

void device_close(struct device *device)
{
    if (device->stuck)
        return;
    driver.cuStreamDestroy_v2(device->stream);
    driver.cuDevicePrimaryCtxRelease_v2(device->handle);
}

void device_write(const struct device *device, struct json *json)
{
    json_number(json, "ordinal", device->ordinal);
    json_text(json, "uuid", device->uuid);
    json_text(json, "name", device->name);
    json_number(json, "total", (int64_t)device->total);
    json_number(json, "free", (int64_t)device->free);
    json_number(json, "multiprocessors", device->multiprocessors);
    json_count(json, "context", device->context);
}
