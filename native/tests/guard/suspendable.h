/* SPDX-License-Identifier: Apache-2.0 */
/* A program under the guard that orders its own suspension, as the daemon does. For one thread. */
#ifndef GS_TEST_SUSPENDABLE_H
#define GS_TEST_SUSPENDABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "share/region.h"

static struct gs_region *region;
static CUcontext context;
static CUfunction fill_kernel, saxpy_kernel, spin_kernel;

static const char kernels[] =
    "//\n.version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry spin(.param .u64 ns)\n{ ret; }\n"
    ".visible .entry gs_fill(.param .u64 at, .param .u32 value, .param .u64 words)\n{ ret; }\n"
    ".visible .entry gs_saxpy(.param .u64 y, .param .u64 x, "
    ".param .f32 a, .param .u64 n)\n{ ret; }\n";

static inline void begin(void)
{
    CUmodule module;
    region = gs_region_map(getenv("GPUSHARE_REGION"));
    CHECK(region);
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    OK(cuModuleLoadData(&module, kernels));
    OK(cuModuleGetFunction(&fill_kernel, module, "gs_fill"));
    OK(cuModuleGetFunction(&saxpy_kernel, module, "gs_saxpy"));
    OK(cuModuleGetFunction(&spin_kernel, module, "spin"));
}

static inline struct gs_region_slot *slot(void)
{
    for (uint32_t s = 0; s < region->slots_high; s++)
        if (region->slot[s].pid == getpid())
            return &region->slot[s];
    CHECK(!"this process has no slot");
    return NULL;
}

static inline uint32_t word(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static inline uint64_t number(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static inline void await_answer(void)
{
    for (int i = 0; i < 60000 && word(&slot()->suspend_seen) != word(&region->suspend); i++)
        usleep(1000);
    CHECK(word(&slot()->suspend_seen) == word(&region->suspend));
}

static inline uint32_t suspend(uint64_t keep)
{
    CHECK(gpushare_region_suspend(getenv("GPUSHARE_REGION"), keep) == 0);
    await_answer();
    CHECK((word(&slot()->phase) == GS_AWAY) == (word(&slot()->failure) == GS_NO_FAILURE));
    return word(&slot()->failure);
}

static inline uint32_t resume(void)
{
    CHECK(gpushare_region_resume(getenv("GPUSHARE_REGION")) == 0);
    await_answer();
    CHECK(word(&slot()->phase) == GS_RUNS);
    return word(&slot()->failure);
}

static inline void suspend_and_resume(void)
{
    CHECK(word(&slot()->unmovable) == 0);
    CHECK(suspend(0) == GS_NO_FAILURE);
    CHECK(resume() == GS_NO_FAILURE);
}

static inline void fill(CUdeviceptr at, uint32_t value, uint64_t words, CUstream stream)
{
    void *parameters[] = {&at, &value, &words};
    OK(cuLaunchKernel(fill_kernel, 1, 1, 1, 256, 1, 1, 0, stream, parameters, NULL));
}

static inline void saxpy(CUdeviceptr y, CUdeviceptr x, float a, uint64_t count, CUstream stream)
{
    void *parameters[] = {&y, &x, &a, &count};
    OK(cuLaunchKernel(saxpy_kernel, 1, 1, 1, 256, 1, 1, 0, stream, parameters, NULL));
}

/* Every 64-bit word of a block depends on its position. */
static inline void write_pattern(CUdeviceptr at, uint64_t bytes, uint64_t seed)
{
    uint64_t *words = malloc(bytes);
    for (uint64_t i = 0; i < bytes / 8; i++)
        words[i] = (seed + i) * 0x9e3779b97f4a7c15ull;
    OK(cuMemcpyHtoD_v2(at, words, bytes));
    free(words);
}

static inline void check_pattern(CUdeviceptr at, uint64_t bytes, uint64_t seed)
{
    uint64_t *words = malloc(bytes);
    OK(cuMemcpyDtoH_v2(words, at, bytes));
    for (uint64_t i = 0; i < bytes / 8; i++)
        CHECK(words[i] == (seed + i) * 0x9e3779b97f4a7c15ull);
    free(words);
}

struct scenario {
    const char *name;
    void (*run)(void);
    bool bare; /* initialises CUDA itself */
};

/* Runs the scenario that is named on the command line; 2 when there is none of that name. */
static inline int run_scenario(const struct scenario *scenarios, size_t scenario_count, int count,
                               char **arguments)
{
    CHECK(count == 2);
    for (size_t i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i].name, arguments[1]))
            continue;
        if (!scenarios[i].bare)
            begin();
        scenarios[i].run();
        CHECK(!region || region->gpu[0].peak <= region->gpu[0].limit);
        return 0;
    }
    return 2;
}

#endif
