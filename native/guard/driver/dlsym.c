/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/dlsym.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "base/elf.h"
#include "base/export.h"
#include "driver/driver_library.h"
#include "driver/interposed.h"
#include "driver/real.h"
#include "share/attach.h"

typedef void *gs_dlvsym(void *handle, const char *symbol, const char *version);

static void *next_dlsym, *next_dlvsym;

gs_dlsym *gs_next_dlsym(void)
{
    return (gs_dlsym *)gs_next_once(&next_dlsym, "dlsym");
}

static bool ours(void *handle, const char *symbol)
{
    bool prefixed =
        (symbol[0] == 'c' && symbol[1] == 'u') || (symbol[0] == 'n' && symbol[1] == 'v');
    return prefixed && handle != RTLD_NEXT && gs_hooks_symbol(symbol);
}

/* Handles whose lookups go through all libraries of the program, ours included. */
static bool searches_all(const void *handle)
{
    return handle == RTLD_DEFAULT || handle == _r_debug.r_map;
}

static void *wrapped(const void *handle, const char *symbol, void *function)
{
    /* Without the driver our export must not be found: continue after this library. */
    if (searches_all(handle) && gs_is_wrapper(function)) {
        function = gs_next_dlsym()(RTLD_NEXT, symbol);
        __asm__ volatile("" : "+r"(function)); /* not a tail call: the caller is this library */
    }
    if (!function || !gs_active() || gs_resolving())
        return function;
    int kept_errno = errno;
    bool loaded = symbol[0] == 'c' ? (cuda(), gs_cuda_known) : (nvml(), gs_nvml_ready);
    errno = kept_errno;
    return loaded ? gs_wrapper(function, symbol) : function;
}

/* A failed lookup stays as it is, dlerror() included. */
static void *answer(const void *handle, const char *symbol, void *function)
{
    return function ? wrapped(handle, symbol, function) : NULL;
}

/*
 * The driver's own lookups get the plain function: a driver library may be a stub that finds the
 * real one by dlsym() (WSL2), and would call itself.
 */
static void *for_caller(const void *caller, const void *handle, const char *symbol, void *function)
{
    return gs_in_driver_library(caller) ? gs_plain(function, symbol)
                                        : answer(handle, symbol, function);
}

#define DLSYM(function)                                                                           \
    GS_EXPORT void *function(void *handle, const char *symbol)                                    \
    {                                                                                             \
        gs_dlsym *next = gs_next_dlsym();                                                         \
        if (ours(handle, symbol))                                                                 \
            return for_caller(__builtin_return_address(0), handle, symbol, next(handle, symbol)); \
        TAIL_CALL return next(handle, symbol);                                                    \
    }
DLSYM(gs_dlsym_now)
DLSYM(gs_dlsym_before)
GS_VERSIONS(dlsym, gs_dlsym_now, gs_dlsym_before, GS_FIRST_VERSION);

#define DLVSYM(function)                                                            \
    GS_EXPORT void *function(void *handle, const char *symbol, const char *version) \
    {                                                                               \
        gs_dlvsym *next = (gs_dlvsym *)gs_next_once(&next_dlvsym, "dlvsym");        \
        if (ours(handle, symbol))                                                   \
            return for_caller(__builtin_return_address(0), handle, symbol,          \
                              next(handle, symbol, version));                       \
        TAIL_CALL return next(handle, symbol, version);                             \
    }
DLVSYM(gs_dlvsym_now)
DLVSYM(gs_dlvsym_before)
GS_VERSIONS(dlvsym, gs_dlvsym_now, gs_dlvsym_before, GS_FIRST_VERSION);
