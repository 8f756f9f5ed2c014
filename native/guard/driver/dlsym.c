/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/dlsym.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/elf.h"
#include "base/export.h"
#include "driver/real.h"
#include "share/attach.h"

typedef void *gs_dlvsym(void *handle, const char *symbol, const char *version);

/*
 * RTLD_NEXT and RTLD_DEFAULT depend on the caller, which dlsym() identifies by its return address.
 * A tail call keeps the return address of the program.
 */
#if defined(__has_attribute)
#if __has_attribute(musttail)
#define TAIL_CALL __attribute__((musttail))
#endif
#endif
#ifndef TAIL_CALL
#define TAIL_CALL
#endif

static void *next_dlsym, *next_dlvsym;

static void *resolve_once(void **place, const char *symbol)
{
    void *function = __atomic_load_n(place, __ATOMIC_RELAXED);
    if (!function) {
        function = gs_next_definition(symbol);
        __atomic_store_n(place, function, __ATOMIC_RELAXED);
    }
    return function;
}

gs_dlsym *gs_next_dlsym(void)
{
    return (gs_dlsym *)resolve_once(&next_dlsym, "dlsym");
}

static bool ours(void *handle, const char *symbol)
{
    bool prefixed =
        (symbol[0] == 'c' && symbol[1] == 'u') || (symbol[0] == 'n' && symbol[1] == 'v');
    return prefixed && handle != RTLD_NEXT && gs_hooks_symbol(symbol);
}

static void *wrapped(const char *symbol, void *function)
{
    /* Without the driver our export must not be found: continue after this library. */
    if (gs_is_wrapper(function)) {
        function = gs_next_dlsym()(RTLD_NEXT, symbol);
        __asm__ volatile("" : "+r"(function)); /* not a tail call: the caller is this library */
    }
    if (!function || !gs_active())
        return function;
    int kept_errno = errno;
    bool loaded = symbol[0] == 'c' ? (cuda(), gs_cuda_ready) : (nvml(), gs_nvml_ready);
    errno = kept_errno;
    return loaded ? gs_wrapper(function, symbol) : function;
}

/* A failed lookup stays as it is, dlerror() included. */
static void *answer(const char *symbol, void *function)
{
    return function ? wrapped(symbol, function) : NULL;
}

GS_EXPORT void *dlsym(void *handle, const char *symbol)
{
    gs_dlsym *next = gs_next_dlsym();
    if (ours(handle, symbol))
        return answer(symbol, next(handle, symbol));
    TAIL_CALL return next(handle, symbol);
}

GS_EXPORT void *dlvsym(void *handle, const char *symbol, const char *version)
{
    gs_dlvsym *next = (gs_dlvsym *)resolve_once(&next_dlvsym, "dlvsym");
    if (ours(handle, symbol))
        return answer(symbol, next(handle, symbol, version));
    TAIL_CALL return next(handle, symbol, version);
}
