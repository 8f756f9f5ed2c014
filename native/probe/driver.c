/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <dlfcn.h>
#include <stdio.h>

struct driver driver;

const char *driver_open(bool own_namespace)
{
    static char reason[256];
    void *library = own_namespace ? dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW)
                                  : dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        snprintf(reason, sizeof reason, "%s", dlerror());
        return reason;
    }
#define X(symbol) driver.symbol = (symbol##_fn *)dlsym(library, #symbol);
    PROBE_CALLS(X)
#undef X
    return driver.cuInit && driver.cuMemGetInfo_v2 ? NULL : "libcuda.so.1 is not a CUDA driver";
}
