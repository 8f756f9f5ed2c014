/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's own functions: one pointer per row of hooks.def. The guard calls the driver through
 * cuda() and nvml() only, so its calls never reach its own hooks.
 * Owner: resolve.c fills both tables once, when the libraries are loaded.
 * Threads: any; no lock is held while the driver is asked.
 * Limits: a function that the driver lacks returns "not supported"; no pointer is NULL.
 */
#ifndef GS_REAL_H
#define GS_REAL_H

#include <stdbool.h>

#pragma GCC visibility push(default)
#include "driver/legacy.h"
#include "gs_cuda.h"
#include "gs_nvml.h"

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t, nvmlMemory_t *);
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t, nvmlMemory_v2_t *);
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t, char *, unsigned);
#pragma GCC visibility pop

#define REAL(symbol) __typeof__(symbol) *symbol;

struct gs_cuda {
#define HOOK(name, symbol, since) REAL(symbol)
#define STREAM(name, symbol, since) REAL(symbol) REAL(symbol##_ptsz)
#define DEFAULT(name, symbol, since) REAL(symbol) REAL(symbol##_ptds)
#define CALL(symbol) REAL(symbol)
#include "hooks.def"
};

struct gs_nvml {
#define NVML_HOOK(symbol) REAL(symbol)
#define NVML_CALL(symbol) REAL(symbol)
#include "hooks.def"
};

#undef REAL

extern struct gs_cuda gs_cuda;
extern struct gs_nvml gs_nvml;
extern bool gs_cuda_ready, gs_nvml_ready;
extern bool gs_cuda_known; /* exported functions have hooks; the driver may not be asked yet */

void gs_resolve_cuda(void);
void gs_resolve_nvml(void);

static inline const struct gs_cuda *cuda(void)
{
    if (!__atomic_load_n(&gs_cuda_ready, __ATOMIC_ACQUIRE))
        gs_resolve_cuda();
    return &gs_cuda;
}

static inline const struct gs_nvml *nvml(void)
{
    if (!__atomic_load_n(&gs_nvml_ready, __ATOMIC_ACQUIRE))
        gs_resolve_nvml();
    return &gs_nvml;
}

/*
 * The hook for a pointer that dlsym() or cuGetProcAddress() returned under a name in the table: the
 * hook of exactly that function. An unknown function is counted and returned as it is.
 */
void *gs_wrapper(void *function, const char *name);

/* That hook, or NULL; counts nothing. */
void *gs_find_wrapper(void *function);

/* Whether this thread looks up the driver's functions now. */
bool gs_resolving(void);

/* In the child of a fork. */
void gs_resolve_forget(void);

/* The driver's function behind our hook for a symbol; others as they are. */
void *gs_plain(void *function, const char *symbol);

/* Whether this is one of the hooks. */
bool gs_is_wrapper(void *function);

/* Whether the guard interposes a symbol (of dlsym) or a name (of cuGetProcAddress). */
bool gs_hooks_symbol(const char *symbol);
bool gs_hooks_name(const char *name);

#endif
