/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A preloaded library that wraps dlsym(), as profilers and other limiters do. It finds the real one
 * under the version that WRAPPED names.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef void *find(void *handle, const char *symbol);

static find *real(void)
{
    static find *found;
    if (!found)
        found = (find *)dlvsym(RTLD_NEXT, "dlsym", getenv("WRAPPED"));
    return found;
}

__attribute__((visibility("default"))) void *dlsym(void *handle, const char *symbol)
{
    if (strcmp(symbol, "what_the_wrapper_changes") == 0)
        return NULL;
    return real()(handle, symbol);
}
