/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated NVML: every export refuses invalid arguments and reports what is in the image. */
#include "gs_nvml.h"
#include "machine/image.h"
#include "machine/slot.h"
#include "../expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NVML(scope, since, name, parameters, arguments) nvmlReturn_t name parameters;
#define NVML_ALIAS(name, target, parameters, arguments) nvmlReturn_t name parameters;
#define NVML_UNSUPPORTED(name) nvmlReturn_t name(void);
#include "nvml/api.def"
#undef NVML
#undef NVML_ALIAS
#undef NVML_UNSUPPORTED
const char *nvmlErrorString(nvmlReturn_t result);

/* Integers and pointers use the same registers, so one type calls every export with zeros. */
typedef nvmlReturn_t (*any_call)(void *, void *, void *, void *, void *, void *);

static const struct {
    const char *name;
    any_call call;
    unsigned since;
    enum { LIBRARY, SYSTEM, DEVICE, PHYSICAL, UNSUPPORTED } scope;
} exports[] = {
#define NVML(scope, since, name, parameters, arguments) \
    {#name, (any_call)(void *)name, since, scope},
#define NVML_ALIAS(name, target, parameters, arguments)
#define NVML_UNSUPPORTED(name) {#name, (any_call)(void *)name, 0, UNSUPPORTED},
#include "nvml/api.def"
};
enum { EXPORTS = sizeof exports / sizeof *exports };

static nvmlReturn_t call_with_nothing(int i)
{
    return exports[i].call(NULL, NULL, NULL, NULL, NULL, NULL);
}

static void before_init(void)
{
    for (int i = 0; i < EXPORTS; i++) {
        if (exports[i].scope == LIBRARY)
            continue;
        if (call_with_nothing(i) == NVML_ERROR_UNINITIALIZED)
            continue;
        fprintf(stderr, "%s answers without nvmlInit\n", exports[i].name);
        failures++;
    }
    EXPECT(nvmlShutdown() == NVML_ERROR_UNINITIALIZED);
}

static void nonsense(unsigned branch)
{
    for (int i = 0; i < EXPORTS; i++) {
        if (exports[i].scope == LIBRARY)
            continue;
        const nvmlReturn_t result = call_with_nothing(i);
        const nvmlReturn_t expected = exports[i].since > branch ? NVML_ERROR_FUNCTION_NOT_FOUND
                                      : exports[i].scope == UNSUPPORTED
                                          ? NVML_ERROR_NOT_SUPPORTED
                                          : NVML_ERROR_INVALID_ARGUMENT;
        if (result == expected)
            continue;
        fprintf(stderr, "%s(nothing) answers %s\n", exports[i].name, nvmlErrorString(result));
        failures++;
    }
}

static nvmlDevice_t gpu(unsigned index)
{
    nvmlDevice_t device = NULL;
    EXPECT(nvmlDeviceGetHandleByIndex_v2(index, &device) == NVML_SUCCESS);
    return device;
}

static void identity(void)
{
    unsigned count = 0;
    char uuid[80], name[96], tiny[4];
    nvmlPciInfo_t pci;
    nvmlDevice_t again;
    EXPECT(nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS && count == 2);
    EXPECT(nvmlDeviceGetHandleByIndex_v2(2, &again) == NVML_ERROR_INVALID_ARGUMENT);
    EXPECT(nvmlDeviceGetUUID(gpu(1), uuid, sizeof uuid) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetHandleByUUID(uuid, &again) == NVML_SUCCESS && again == gpu(1));
    EXPECT(nvmlDeviceGetHandleByUUID("GPU-none", &again) == NVML_ERROR_NOT_FOUND);
    EXPECT(nvmlDeviceGetPciInfo_v3(gpu(1), &pci) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &again) == NVML_SUCCESS && again == gpu(1));
    EXPECT(nvmlDeviceGetHandleByPciBusId_v2(pci.busIdLegacy, &again) == NVML_SUCCESS
           && again == gpu(1));
    EXPECT(nvmlDeviceGetName(gpu(0), name, sizeof name) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetName(gpu(0), tiny, sizeof tiny) == NVML_ERROR_INSUFFICIENT_SIZE);
}

static void memory_and_processes(gs_image *image)
{
    nvmlMemory_t v1;
    nvmlMemory_v2_t v2 = {.version = NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2)}, bad = {.version = 1};
    nvmlProcessInfo_t list[4];
    unsigned count = 0;
    EXPECT(nvmlDeviceGetComputeRunningProcesses_v3(gpu(1), &count, NULL) == NVML_SUCCESS
           && count == 0);
    gs_image_lock(image);
    gs_slot *slot = gs_slot_mine(image);
    slot->use[1].bytes = 100ull << 20;
    slot->use[1].contexts = 1;
    gs_image_unlock(image);
    EXPECT(nvmlDeviceGetMemoryInfo_v2(gpu(1), &bad) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    EXPECT(nvmlDeviceGetMemoryInfo_v2(gpu(1), &v2) == NVML_SUCCESS && v2.used == 100ull << 20);
    EXPECT(v2.total == v2.used + v2.free + v2.reserved);
    EXPECT(nvmlDeviceGetMemoryInfo(gpu(1), &v1) == NVML_SUCCESS
           && v1.used == v2.used + v2.reserved);
    EXPECT(nvmlDeviceGetComputeRunningProcesses_v3(gpu(1), &count, NULL)
               == NVML_ERROR_INSUFFICIENT_SIZE
           && count == 1);
    EXPECT(nvmlDeviceGetComputeRunningProcesses_v3(gpu(1), &count, list) == NVML_SUCCESS);
    EXPECT(list[0].pid == (unsigned)getpid() && list[0].usedGpuMemory == 100ull << 20);
    count = 4;
    EXPECT(nvmlDeviceGetMPSComputeRunningProcesses_v3(gpu(1), &count, list) == NVML_SUCCESS
           && count == 0);
    count = 4;
    EXPECT(nvmlDeviceGetGraphicsRunningProcesses_v3(gpu(1), &count, list) == NVML_SUCCESS
           && count == 0);
}

static void mig(void)
{
    unsigned mode, pending, id, count = 0;
    nvmlDevice_t instance, parent;
    nvmlDeviceAttributes_t attributes;
    nvmlMemory_t memory;
    EXPECT(nvmlDeviceGetMigMode(gpu(0), &mode, &pending) == NVML_SUCCESS && mode == 1);
    EXPECT(nvmlDeviceGetMigDeviceHandleByIndex(gpu(0), 0, &instance) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetMigDeviceHandleByIndex(gpu(0), 1, &parent) == NVML_ERROR_NOT_FOUND);
    EXPECT(nvmlDeviceIsMigDeviceHandle(instance, &mode) == NVML_SUCCESS && mode == 1);
    EXPECT(nvmlDeviceGetGpuInstanceId(instance, &id) == NVML_SUCCESS && id == 1);
    EXPECT(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance, &parent) == NVML_SUCCESS
           && parent == gpu(0));
    EXPECT(nvmlDeviceGetAttributes_v2(instance, &attributes) == NVML_SUCCESS
           && attributes.multiprocessorCount == 14);
    EXPECT(nvmlDeviceGetMemoryInfo(instance, &memory) == NVML_SUCCESS
           && memory.total == 10ull << 30);
    EXPECT(nvmlDeviceGetPowerUsage(instance, &count) == NVML_ERROR_NOT_SUPPORTED);
    EXPECT(nvmlDeviceGetGpuInstances(gpu(0), 19, NULL, &count) == NVML_SUCCESS && count == 1);
}

static void vgpu(void)
{
    unsigned count = 0, types[2], length = 64;
    char name[64];
    unsigned long long bytes;
    EXPECT(nvmlDeviceGetSupportedVgpus(gpu(0), &count, types) == NVML_ERROR_NOT_SUPPORTED);
    EXPECT(nvmlDeviceGetSupportedVgpus(gpu(1), &count, NULL) == NVML_ERROR_INSUFFICIENT_SIZE
           && count == 1);
    EXPECT(nvmlDeviceGetSupportedVgpus(gpu(1), &count, types) == NVML_SUCCESS && types[0] == 1149);
    EXPECT(nvmlVgpuTypeGetName(1149, name, &length) == NVML_SUCCESS
           && strcmp(name, "NVIDIA L4-8Q") == 0);
    EXPECT(nvmlVgpuTypeGetFramebufferSize(1149, &bytes) == NVML_SUCCESS && bytes == 8ull << 30);
}

static void limits(const char *folder, unsigned branch)
{
    char text[256];
    nvmlSetMemoryLimits_v1_t wish = {text, 1ull << 30, 2ull << 30};
    nvmlGetMemoryLimits_v1_t limits = {.nameSpace = text};
    snprintf(text, sizeof text, "%s", folder);
    if (branch < 615 || geteuid() != 0) {
        EXPECT(nvmlDeviceSetMemoryLimits_v1(gpu(1), &wish)
               == (branch < 615 ? NVML_ERROR_FUNCTION_NOT_FOUND : NVML_ERROR_NO_PERMISSION));
        return;
    }
    EXPECT(nvmlDeviceSetMemoryLimits_v1(gpu(1), &wish) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetMemoryLimits_v1(gpu(1), &limits) == NVML_SUCCESS
           && limits.hardLimit == 2ull << 30);
    wish.softLimit = 3ull << 30;
    EXPECT(nvmlDeviceSetMemoryLimits_v1(gpu(1), &wish) == NVML_ERROR_INVALID_ARGUMENT);
    wish = (nvmlSetMemoryLimits_v1_t){text, 0, NVML_DEVICE_MEMORY_LIMIT_MAX};
    EXPECT(nvmlDeviceSetMemoryLimits_v1(gpu(1), &wish) == NVML_SUCCESS);
    EXPECT(nvmlDeviceGetMemoryLimits_v1(gpu(1), &limits) == NVML_SUCCESS && limits.softLimit == 0);
    snprintf(text, sizeof text, "%s/none", folder);
    EXPECT(nvmlDeviceGetMemoryLimits_v1(gpu(1), &limits) == NVML_ERROR_NOT_FOUND);
}

static void inject(const char *tool, const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "%s fault \"$GPUSHARE_SIM_MACHINE\" %s", tool, what);
    EXPECT(system(command) == 0);
}

static void faults(const char *tool)
{
    nvmlEventSet_t set;
    nvmlEventData_t event;
    unsigned long long errors;
    unsigned watts;
    nvmlDevice_t device = gpu(1);
    EXPECT(nvmlEventSetCreate(&set) == NVML_SUCCESS);
    EXPECT(nvmlDeviceRegisterEvents(device, nvmlEventTypeXidCriticalError, set) == NVML_SUCCESS);
    EXPECT(nvmlEventSetWait_v2(set, &event, 0) == NVML_ERROR_TIMEOUT);
    inject(tool, "gpu=1 xid=31");
    EXPECT(nvmlEventSetWait_v2(set, &event, 1000) == NVML_SUCCESS && event.eventData == 31
           && event.device == device);
    inject(tool, "gpu=1 ecc=1");
    EXPECT(nvmlDeviceGetTotalEccErrors(device, 1, 0, &errors) == NVML_SUCCESS && errors == 1);
    inject(tool, "gpu=1 lost=1");
    EXPECT(nvmlDeviceGetPowerUsage(device, &watts) == NVML_ERROR_GPU_IS_LOST);
    inject(tool, "clear");
    EXPECT(nvmlDeviceGetPowerUsage(device, &watts) == NVML_SUCCESS);
    EXPECT(nvmlEventSetFree(set) == NVML_SUCCESS);
}

static void on_machine(const char *tool, unsigned branch)
{
    char folder[] = "/tmp/gs-nvml-XXXXXX";
    before_init();
    EXPECT(nvmlInitWithFlags(0) == NVML_SUCCESS);
    nonsense(branch);
    identity();
    memory_and_processes(gs_image_attach());
    mig();
    vgpu();
    EXPECT(mkdtemp(folder) != NULL);
    limits(folder, branch);
    rmdir(folder);
    faults(tool);
    EXPECT(nvmlShutdown() == NVML_SUCCESS);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "machine") == 0)
        on_machine(argv[2], (unsigned)atoi(argv[3]));
    else if (argc > 1 && strcmp(argv[1], "mismatch") == 0)
        EXPECT(nvmlInitWithFlags(0) == NVML_ERROR_LIB_RM_VERSION_MISMATCH);
    else
        EXPECT(nvmlInitWithFlags(0) == NVML_ERROR_DRIVER_NOT_LOADED);
    return failures != 0;
}
