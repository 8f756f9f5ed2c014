/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For functions of the C library that the guard interposes: the next definition, tail calls, and
 * exports under the versions that the C library has.
 *
 * Versions: libraries that wrap dlsym() find the real one by dlvsym(RTLD_NEXT, "dlsym",
 * "GLIBC_2.2.5"), which passes by a definition without a version.
 *
 * Owner: none. Threads: any; no lock. Limits: the versions are declared in guard/exports.map.
 */
#ifndef GS_INTERPOSED_H
#define GS_INTERPOSED_H

#include "base/elf.h"

/*
 * dlsym() knows its caller for RTLD_NEXT, and dlopen() for RPATH and RUNPATH, by the return address.
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

#if defined(__x86_64__)
#define GS_FIRST_VERSION "GLIBC_2.2.5"
#define GS_DLMOPEN_VERSION "GLIBC_2.3.4"
#else
#define GS_FIRST_VERSION "GLIBC_2.17"
#define GS_DLMOPEN_VERSION "GLIBC_2.17"
#endif

/* A symbol has one version, so `now` and `before` are two functions that do the same. */
#define GS_VERSIONS(name, now, before, first)         \
    __asm__(".symver " #before ", " #name "@" first); \
    __asm__(".symver " #now ", " #name "@@GLIBC_2.34")

static inline void *gs_next_once(void **place, const char *symbol)
{
    void *function = __atomic_load_n(place, __ATOMIC_RELAXED);
    if (!function) {
        function = gs_next_definition(symbol);
        __atomic_store_n(place, function, __ATOMIC_RELAXED);
    }
    return function;
}

#endif
