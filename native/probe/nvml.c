/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "gs_nvml.h"
#include "region_view.h"

enum { PROCESSES = 256, MOST_HIDDEN = 32 << 20 };

static struct {
    nvmlReturn_t (*init)(void);
    nvmlReturn_t (*driver)(char *, unsigned int);
    nvmlReturn_t (*by_uuid)(const char *, nvmlDevice_t *);
    nvmlReturn_t (*memory)(nvmlDevice_t, nvmlMemory_t *);
    nvmlReturn_t (*processes)(nvmlDevice_t, unsigned int *, nvmlProcessInfo_t *);
} nvml;
static char version[81];

static void *find(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

void nvml_open(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    *(void **)&nvml.init = find(library, "nvmlInit_v2");
    *(void **)&nvml.driver = find(library, "nvmlSystemGetDriverVersion");
    *(void **)&nvml.by_uuid = find(library, "nvmlDeviceGetHandleByUUID");
    *(void **)&nvml.memory = find(library, "nvmlDeviceGetMemoryInfo");
    *(void **)&nvml.processes = find(library, "nvmlDeviceGetComputeRunningProcesses_v3");
    if (!nvml.init || nvml.init() != NVML_SUCCESS)
        nvml.by_uuid = NULL;
    else if (nvml.driver)
        nvml.driver(version, sizeof version - 1);
}

const char *nvml_driver(void)
{
    return version;
}

static bool device(const char *uuid, nvmlDevice_t *handle)
{
    return nvml.by_uuid && nvml.by_uuid(uuid, handle) == NVML_SUCCESS;
}

int64_t nvml_gpu_used(const char *uuid)
{
    nvmlDevice_t gpu;
    nvmlMemory_t memory;
    if (!device(uuid, &gpu) || !nvml.memory || nvml.memory(gpu, &memory) != NVML_SUCCESS)
        return -1;
    return (int64_t)memory.used;
}

static int64_t of_this_process(const char *uuid)
{
    nvmlDevice_t gpu;
    unsigned int count = PROCESSES;
    nvmlProcessInfo_t processes[PROCESSES];
    if (!device(uuid, &gpu) || !nvml.processes
        || nvml.processes(gpu, &count, processes) != NVML_SUCCESS)
        return -1;
    for (unsigned int i = 0; i < count; i++)
        if (processes[i].pid == (unsigned int)getpid())
            return (int64_t)processes[i].usedGpuMemory;
    return -1;
}

/*
 * NVML's figure for a process does not contain what the driver allocates on the GPU for it (9 MB on
 * driver 580). The growth of the use of the GPU contains it. That growth counts if it exceeds the
 * figure by at most MOST_HIDDEN, so that no other process can have caused it.
 */
int64_t nvml_context(const char *uuid, int64_t before)
{
    int64_t own = of_this_process(uuid);
    /* Under the guard NVML shows the share, so the growth would be what the guard charged. */
    if (before < 0 || region_attached())
        return own;
    int64_t grown = nvml_gpu_used(uuid) - before;
    if (own < 0)
        return grown > 0 ? grown : -1;
    return grown > own && grown - own <= MOST_HIDDEN ? grown : own;
}
