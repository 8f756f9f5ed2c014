/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose RUNPATH is $ORIGIN: it finds plug-ins next to it by their bare names. */
#include <dlfcn.h>
#include <stddef.h>

__attribute__((visibility("default"))) int use_gpu(void)
{
    void *plugin = dlopen("libplugin.so", RTLD_NOW | RTLD_DEEPBIND);
    int (*act)(void) = plugin ? (int (*)(void))dlsym(plugin, "use_gpu") : NULL;
    return act ? act() : 1;
}
