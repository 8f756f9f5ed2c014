/* SPDX-License-Identifier: Apache-2.0 */
/* A second preloaded library, after the guard: it must find the next getppid(), not its own. */
#include <dlfcn.h>
#include <unistd.h>

__attribute__((visibility("default"))) pid_t getppid(void)
{
    pid_t (*next)(void) = dlsym(RTLD_NEXT, "getppid");
    return next() + 1000000;
}
