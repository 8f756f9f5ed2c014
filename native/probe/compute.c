/* SPDX-License-Identifier: Apache-2.0 */
#include "compute.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

/*
 * Kernels are short compared with a turn and long compared with a launch. After two turns of 0.1 s
 * each the shares of the programs are stable.
 */
enum { KERNEL_NS = 2000000, BATCH = 4, SETTLE_MS = 400, MEASURE_MS = 1000, FULL = 10000 };
/* Every share gets turns far more often than this. */
enum { STARVED_MS = 5000, POLL_US = 20, STARVED = -2, FAILED = -1 };

/* gs_spin lasts its parameter in nanoseconds; the simulated machine recognizes it by name. */
static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                          ".visible .entry gs_spin(.param .u64 ns) {\n"
                          " .reg .pred %more;\n .reg .u64 %end, %now, %start;\n"
                          " ld.param.u64 %end, [ns];\n mov.u64 %start, %globaltimer;\n"
                          "again:\n mov.u64 %now, %globaltimer;\n sub.u64 %now, %now, %start;\n"
                          " setp.lt.u64 %more, %now, %end;\n @%more bra again;\n ret;\n}\n";

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* Success, or not ready: nothing has ended for so long that the program is starved. */
static CUresult wait_for_work(const struct device *device)
{
    int64_t start = now_ns();
    CUresult result;
    while ((result = driver.cuStreamQuery(device->stream)) == CUDA_ERROR_NOT_READY
           && now_ns() - start < STARVED_MS * 1000000ll)
        usleep(POLL_US);
    return result;
}

/* Number of kernels that ended in that time, and the time they elapsed. */
static int64_t spin_for(const struct device *device, CUfunction spin, int64_t milliseconds,
                        int64_t *elapsed)
{
    uint64_t length = KERNEL_NS;
    void *parameters[] = {&length};
    int64_t start = now_ns(), kernels = 0;
    while (now_ns() - start < milliseconds * 1000000) {
        for (int i = 0; i < BATCH; i++)
            if (driver.cuLaunchKernel(spin, 1, 1, 1, 1, 1, 1, 0, device->stream, parameters, NULL)
                != CUDA_SUCCESS)
                return FAILED;
        CUresult result = wait_for_work(device);
        if (result != CUDA_SUCCESS)
            return result == CUDA_ERROR_NOT_READY ? STARVED : FAILED;
        kernels += BATCH;
    }
    *elapsed = now_ns() - start;
    return kernels;
}

static CUresult open_spin(CUmodule *module, CUfunction *spin)
{
    CUresult result =
        driver.cuModuleLoadData ? driver.cuModuleLoadData(module, ptx) : CUDA_ERROR_NOT_SUPPORTED;
    return result == CUDA_SUCCESS ? driver.cuModuleGetFunction(spin, *module, "gs_spin") : result;
}

static bool input_ended(void)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char byte;
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

void compute_load(const struct device *device)
{
    CUmodule module;
    CUfunction spin;
    int64_t elapsed;
    if (open_spin(&module, &spin) != CUDA_SUCCESS)
        return;
    while (!input_ended() && spin_for(device, spin, 1, &elapsed) > 0)
        ;
}

int64_t compute_measure(const struct device *device)
{
    CUmodule module;
    CUfunction spin;
    int64_t elapsed = 0, kernels = 0;
    if (open_spin(&module, &spin) != CUDA_SUCCESS)
        return -1;
    if ((kernels = spin_for(device, spin, SETTLE_MS, &elapsed)) > 0)
        kernels = spin_for(device, spin, MEASURE_MS, &elapsed);
    /* Unloading the module would wait for the kernels, which never end. */
    if (kernels == STARVED)
        return 0;
    driver.cuModuleUnload(module);
    int64_t share = kernels > 0 ? kernels * KERNEL_NS * FULL / elapsed : -1;
    return share > FULL ? FULL : share;
}
