/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_test HOW PLUGIN: loads a plug-in as programs do and lets it use the GPU.
 *   now | deep | lazy        dlopen() with these flags; lazy: deep, and bound at the first call
 *   space | spaces           dlmopen() of a new namespace; the second after 40 that were closed again
 *   runpath                  by its bare name, from a library that has it in its RUNPATH
 *   own-dlsym                without a plug-in: the driver by name, its functions by a dlsym() that is
 *                            found in the C library itself
 */
#include <dlfcn.h>
#include <string.h>

#include "../check.h"
#include "gs_cuda.h"

typedef int use(void);
typedef void *find(void *handle, const char *symbol);

static void *load(const char *how, const char *plugin)
{
    if (strcmp(how, "space") == 0)
        return dlmopen(LM_ID_NEWLM, plugin, RTLD_NOW);
    if (strcmp(how, "lazy") == 0)
        return dlopen(plugin, RTLD_LAZY | RTLD_DEEPBIND);
    return dlopen(plugin, RTLD_NOW | (strcmp(how, "deep") == 0 ? RTLD_DEEPBIND : 0));
}

static void open_many_spaces(void)
{
    for (int i = 0; i < 40; i++) {
        void *library = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);
        if (!library)
            fprintf(stderr, "namespace %d: %s\n", i, dlerror());
        CHECK(library);
        CHECK(dlclose(library) == 0);
    }
}

static int by_own_dlsym(void)
{
    find *own = (find *)dlvsym(dlopen("libc.so.6", RTLD_NOW), "dlsym", "GLIBC_2.34");
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    CUcontext context;
    size_t free, total;
    CHECK(own && driver);
    CHECK(((cuInit_fn *)own(driver, "cuInit"))(0) == CUDA_SUCCESS);
    CHECK(((cuDevicePrimaryCtxRetain_fn *)own(driver, "cuDevicePrimaryCtxRetain"))(&context, 0)
          == CUDA_SUCCESS);
    CHECK(((cuCtxSetCurrent_fn *)own(driver, "cuCtxSetCurrent"))(context) == CUDA_SUCCESS);
    CHECK(((cuMemGetInfo_v2_fn *)own(driver, "cuMemGetInfo_v2"))(&free, &total) == CUDA_SUCCESS);
    printf("%zu %zu 0\n", (size_t)(total >> 20), (size_t)(total >> 20));
    return 0;
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    if (strcmp(arguments[1], "own-dlsym") == 0)
        return by_own_dlsym();
    if (strcmp(arguments[1], "spaces") == 0)
        open_many_spaces();
    void *plugin = load(strcmp(arguments[1], "spaces") == 0 ? "space" : arguments[1], arguments[2]);
    if (!plugin)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin);
    use *act = (use *)dlsym(plugin, "use_gpu");
    CHECK(act);
    return act();
}
