/* SPDX-License-Identifier: Apache-2.0 */
/* Another preloaded library, behind ours: it must find the next getppid after itself, not itself again. */
#include <dlfcn.h>
#include <unistd.h>

__attribute__((visibility("default"))) pid_t getppid(void)
{
    pid_t (*next)(void) = dlsym(RTLD_NEXT, "getppid");
    return next() + 1000000;
}
