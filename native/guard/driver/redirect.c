/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/redirect.h"

#include <dlfcn.h>

#include "base/elf.h"
#include "driver/dlsym.h"
#include "driver/real.h"
#include "share/attach.h"

static void *hook_of(const char *name, void *function)
{
    (void)name;
    return gs_find_wrapper(function);
}

void gs_redirect(void *library, const char *name)
{
    if (!gs_redefine(library, hook_of))
        gs_count_unhooked(name);
}

static __thread void *first_library;

static void *of_the_first(const char *name, void *function)
{
    (void)function;
    return gs_next_dlsym()(first_library, name);
}

void gs_redirect_copy(void *copy, void *first, const char *name)
{
    first_library = first;
    if (!gs_redefine(copy, of_the_first))
        gs_count_unhooked(name);
    dlerror(); /* of names that only the copy has */
}
