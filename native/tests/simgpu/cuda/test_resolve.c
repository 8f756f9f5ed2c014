/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to find an entry point: linked, dlsym on a private handle, cuGetProcAddress. */
#include "machine.h"

#include <dlfcn.h>

static void *ask(const char *name, int version, cuuint64_t flags)
{
    void *function = NULL;
    CUdriverProcAddressQueryResult status;
    OK(cuGetProcAddress_v2(name, &function, version, flags, &status));
    EQUAL(status, function ? CU_GET_PROC_ADDRESS_SUCCESS : status);
    return function;
}

static void versions_choose_the_form(void)
{
    ASSERT(ask("cuMemAlloc", 13000, 0) == (void *)cuMemAlloc_v2);
    ASSERT(ask("cuCtxCreate", 13000, 0) == (void *)cuCtxCreate_v4);
    ASSERT(ask("cuCtxCreate", 12040, 0) == (void *)cuCtxCreate_v3);
    ASSERT(ask("cuCtxCreate", 4000, 0) == (void *)cuCtxCreate_v2);
    ASSERT(ask("cuMemcpyBatchAsync", 12080, 0) == (void *)cuMemcpyBatchAsync);
    ASSERT(ask("cuMemcpyBatchAsync", 13000, 0) == (void *)cuMemcpyBatchAsync_v2);
    ASSERT(ask("cuGetProcAddress", 12000, 0) == (void *)cuGetProcAddress_v2);
}

static void flags_choose_the_stream(void)
{
    cuuint64_t per_thread = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    ASSERT(ask("cuLaunchKernel", 13000, 0) == (void *)cuLaunchKernel);
    ASSERT(ask("cuLaunchKernel", 13000, CU_GET_PROC_ADDRESS_LEGACY_STREAM)
           == (void *)cuLaunchKernel);
    ASSERT(ask("cuLaunchKernel", 13000, per_thread) == (void *)cuLaunchKernel_ptsz);
    ASSERT(ask("cuMemcpyHtoD", 13000, per_thread) == (void *)cuMemcpyHtoD_v2_ptds);
    ASSERT(ask("cuMemAlloc", 13000, per_thread) == (void *)cuMemAlloc_v2);
}

static void unknown_names_are_reported(void)
{
    void *function = &function;
    CUdriverProcAddressQueryResult status;
    OK(cuGetProcAddress_v2("cuNoSuchThing", &function, 13000, 0, &status));
    EQUAL(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    ASSERT(function == NULL);
    OK(cuGetProcAddress_v2("cuMemGetMemPool", &function, 12000, 0, &status));
    EQUAL(status, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    EQUAL(cuGetProcAddress_v2("cuNoSuchThing", &function, 13000, 0, NULL), CUDA_ERROR_NOT_FOUND);
    EQUAL(cuGetProcAddress("cuNoSuchThing", &function, 13000, 0), CUDA_ERROR_NOT_FOUND);
    EQUAL(cuGetProcAddress(NULL, &function, 13000, 0), CUDA_ERROR_INVALID_VALUE);
}

static void every_row_is_exported(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/libcuda.so.1", getenv("SIMGPU"));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ASSERT(library);
#define X(name, symbol, since, params) ASSERT(dlsym(library, #symbol));
#define PTSZ(name, symbol, since, params, args) \
    X(name, symbol, since, params) ASSERT(dlsym(library, #symbol "_ptsz"));
#define PTDS(name, symbol, since, params, args) \
    X(name, symbol, since, params) ASSERT(dlsym(library, #symbol "_ptds"));
#include "cuda/api.def"
#undef X
#undef PTSZ
#undef PTDS
    ASSERT(!dlsym(library, "gs_enter")); /* internal functions are not */
    dlclose(library);
}

int main(void)
{
    machine("gpus=1\n");
    OK(cuInit(0));
    versions_choose_the_form();
    flags_choose_the_stream();
    unknown_names_are_reported();
    every_row_is_exported();
    puts("ok: resolution");
    return 0;
}
