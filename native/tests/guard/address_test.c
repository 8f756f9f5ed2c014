/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In every way to look up an interposed function a program gets the hook: dlsym(), both versions of
 * cuGetProcAddress(), every CUDA version and every kind of default stream.
 */
#include <dlfcn.h>
#include <string.h>

#include "check.h"
#include "gs_cuda.h"
#include "share/region.h"

static const int versions[] = {2000, 3020, 7000, 11020, 11040, 12000, 12040, 12080, 13000};
static cuGetProcAddress_v2_fn *address;
static cuGetProcAddress_fn *old_address;
static void *driver;
static int lookups;

static void is_guard(const char *name, void *function)
{
    Dl_info info;
    lookups++;
    if (!dladdr(function, &info) || !strstr(info.dli_fname, "libgpushare.so")) {
        fprintf(stderr, "%s leads past the guard, to %s\n", name, info.dli_fname);
        exit(1);
    }
}

static void by_symbol(const char *symbol)
{
    void *function = dlsym(driver, symbol);
    if (function)
        is_guard(symbol, function);
}

static void by_name(const char *name)
{
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        for (cuuint64_t flags = 0; flags <= CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
             flags++) {
            void *function = NULL;
            CUdriverProcAddressQueryResult status;
            if (address(name, &function, versions[v], flags, &status) == CUDA_SUCCESS && function)
                is_guard(name, function);
            if (old_address(name, &function, versions[v], flags) == CUDA_SUCCESS)
                is_guard(name, function);
        }
    }
}

int main(void)
{
    driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    CHECK(driver);
    address = dlsym(driver, "cuGetProcAddress_v2");
    old_address = dlsym(driver, "cuGetProcAddress");
    CHECK(address && old_address);
#define HOOK(name, symbol, since) by_name(#name), by_symbol(#symbol);
#define STREAM(name, symbol, since) HOOK(name, symbol, since) by_symbol(#symbol "_ptsz");
#define DEFAULT(name, symbol, since) HOOK(name, symbol, since) by_symbol(#symbol "_ptds");
#include "hooks.def"
    struct gs_region *region = gs_region_map(getenv("GPUSHARE_REGION"));
    CHECK(region && region->unhooked == 0 && lookups > 1000);
    void *table_call = dlsym(driver, "cuGetExportTable");
    Dl_info info;
    CHECK(table_call && dladdr(table_call, &info) && !strstr(info.dli_fname, "libgpushare.so"));
    return 0;
}
