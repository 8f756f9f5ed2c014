/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/driver_library.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

const char *gs_driver_library(const char *file)
{
    static const struct {
        const char *prefix, *name;
    } libraries[] = {{"libcuda.so", "libcuda.so.1"}, {"libnvidia-ml.so", "libnvidia-ml.so.1"}};
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (strncmp(base, libraries[i].prefix, strlen(libraries[i].prefix)) == 0)
            return libraries[i].name;
    return NULL;
}

bool gs_in_driver_library(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) && info.dli_fname && gs_driver_library(info.dli_fname);
}

static bool has_paths(const struct link_map *object)
{
    for (const ElfW(Dyn) *at = object->l_ld; at && at->d_tag != DT_NULL; at++)
        if (at->d_tag == DT_RPATH || at->d_tag == DT_RUNPATH)
            return true;
    return false;
}

bool gs_has_own_paths(const void *caller)
{
    Dl_info info;
    struct link_map *object = NULL;
    bool found = dladdr1(caller, &info, (void **)&object, RTLD_DL_LINKMAP) && object;
    return !found || has_paths(object) || has_paths(_r_debug.r_map);
}
