/* SPDX-License-Identifier: Apache-2.0 */
/* The exports of the simulated NVML: initialization, and one checked export per row of api.def. */
#include "nvml/api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* Lets gpushare recognize that this library is not NVIDIA's. */
EXPORT extern const int gpushare_simulated;
const int gpushare_simulated = 1;

struct nvmlDevice_st nvml_handles[GS_MAX_DEVICES];
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned initialised;

gs_image *nvml_image(void)
{
    return gs_image_attach();
}

int nvml_index(nvmlDevice_t device)
{
    return (int)(device - nvml_handles);
}

gs_device *nvml_device(nvmlDevice_t device)
{
    return &nvml_image()->devices[nvml_index(device)];
}

gs_device *nvml_physical(nvmlDevice_t device)
{
    gs_device *own = nvml_device(device);
    return own->parent < 0 ? own : &nvml_image()->devices[own->parent];
}

bool nvml_holds(int device, int index)
{
    const gs_device *inner = &nvml_image()->devices[index];
    return inner->present && (index == device || inner->parent == device);
}

nvmlReturn_t nvml_text(const char *text, char *out, unsigned length)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) + 1 > length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

nvmlReturn_t nvml_number(unsigned value, unsigned *out)
{
    if (out == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *out = value;
    return NVML_SUCCESS;
}

unsigned nvml_percent(const gs_busy *busy)
{
    const uint64_t second = 1000000000ull, now = gs_now_ns();
    uint64_t percent = gs_busy_in(busy, now - second, now) * 100 / second;
    return percent > 100 ? 100 : (unsigned)percent;
}

unsigned nvml_branch(const char *driver)
{
    return (unsigned)strtoul(driver, NULL, 10);
}

nvmlReturn_t answer_nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    gs_image *image = nvml_image();
    if (image == NULL)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (image->driver_mismatch)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    pthread_mutex_lock(&init_lock);
    initialised++;
    pthread_mutex_unlock(&init_lock);
    return NVML_SUCCESS;
}

nvmlReturn_t answer_nvmlShutdown(void)
{
    pthread_mutex_lock(&init_lock);
    bool was = initialised > 0;
    if (was)
        initialised--;
    pthread_mutex_unlock(&init_lock);
    return was ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

static nvmlReturn_t begin_system(unsigned since)
{
    pthread_mutex_lock(&init_lock);
    bool ready = initialised > 0;
    pthread_mutex_unlock(&init_lock);
    if (!ready)
        return NVML_ERROR_UNINITIALIZED;
    return nvml_branch(nvml_image()->driver) < since ? NVML_ERROR_FUNCTION_NOT_FOUND : NVML_SUCCESS;
}

static bool is_handle(nvmlDevice_t device)
{
    return device >= nvml_handles && device < nvml_handles + GS_MAX_DEVICES
           && nvml_device(device)->present;
}

/* On NVML_SUCCESS the image stays locked. */
static nvmlReturn_t begin_device(unsigned since, nvmlDevice_t device, bool mig_too)
{
    nvmlReturn_t refused = begin_system(since);
    if (refused != NVML_SUCCESS)
        return refused;
    gs_image_lock(nvml_image());
    if (!is_handle(device))
        refused = NVML_ERROR_INVALID_ARGUMENT;
    else if (nvml_physical(device)->lost)
        refused = NVML_ERROR_GPU_IS_LOST;
    else if (!mig_too && nvml_device(device)->parent >= 0)
        refused = NVML_ERROR_NOT_SUPPORTED;
    if (refused != NVML_SUCCESS)
        gs_image_unlock(nvml_image());
    return refused;
}

#define BEGIN_LIBRARY(since, ...) NVML_SUCCESS
#define BEGIN_SYSTEM(since, ...) begin_system(since)
#define BEGIN_DEVICE(since, device, ...) begin_device(since, device, true)
#define BEGIN_PHYSICAL(since, device, ...) begin_device(since, device, false)
#define END_LIBRARY
#define END_SYSTEM
#define END_DEVICE gs_image_unlock(nvml_image());
#define END_PHYSICAL gs_image_unlock(nvml_image());
#define SPREAD(...) __VA_ARGS__
#define BEGIN(scope, ...) BEGIN_##scope(__VA_ARGS__)

#define NVML(scope, since, name, parameters, arguments)              \
    EXPORT nvmlReturn_t name parameters;                             \
    EXPORT nvmlReturn_t name parameters                              \
    {                                                                \
        nvmlReturn_t result = BEGIN(scope, since, SPREAD arguments); \
        if (result != NVML_SUCCESS)                                  \
            return result;                                           \
        result = answer_##name arguments;                            \
        END_##scope return result;                                   \
    }
#define NVML_ALIAS(name, target, parameters, arguments) \
    EXPORT nvmlReturn_t name parameters;                \
    EXPORT nvmlReturn_t name parameters                 \
    {                                                   \
        return target arguments;                        \
    }
#define NVML_UNSUPPORTED(name)                                                        \
    EXPORT nvmlReturn_t name(void);                                                   \
    EXPORT nvmlReturn_t name(void)                                                    \
    {                                                                                 \
        return begin_system(0) ? NVML_ERROR_UNINITIALIZED : NVML_ERROR_NOT_SUPPORTED; \
    }
#include "nvml/api.def"

EXPORT const char *nvmlErrorString(nvmlReturn_t result);
EXPORT const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_FUNCTION_NOT_FOUND: return "Function Not Found";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_OPERATING_SYSTEM: return "The operating system has blocked the request";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case NVML_ERROR_IN_USE: return "In use by another client";
    case NVML_ERROR_MEMORY: return "Insufficient Memory";
    case NVML_ERROR_INSUFFICIENT_RESOURCES: return "Insufficient Resources";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "Argument Version Mismatch";
    default: return "Unknown Error";
    }
}
