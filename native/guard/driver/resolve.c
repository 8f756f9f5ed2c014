/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolution: which function a program gets under which name.
 *
 * Model. Programs reach the driver in three ways: as linked symbols, which the dynamic linker binds
 * to our exports; by dlsym(); and by cuGetProcAddress(), under a name, a CUDA version and flags.
 * The last two return pointers into the driver. For those the map `wrappers` holds the hook of each
 * known driver function: each row of hooks.def is looked up in every way once, and its addresses
 * are entered with the hook of that row.
 *
 * Invariants:
 * 1. A program gets the hook of exactly the function, and so of the ABI version, that the driver
 *    returned to it.
 * 2. A function under a known name that is not in the map is returned as it is and counted as
 *    `unhooked`: it is a version that the guard does not know, and a hook of another version could
 *    break the program.
 * 3. Of two rows with one address the older one counts: drivers return old functions for new
 *    versions.
 * 4. Tables are complete before `gs_cuda_ready` is set, and never change afterwards.
 * 5. The libraries stay loaded after the first resolution, even if the program closes them.
 * 6. Nothing foreign runs under `lock`: the driver, and the dlsym() and dlopen() that come after ours,
 *    may call dlsym() in turn, on this thread or on one that this thread waits for. On this thread
 *    such a call gets the plain function. On another one it gets the hook of an exported function,
 *    and never asks the driver again: that thread could be one that the driver waits for, and its
 *    question would start the next.
 *
 * Threads: any, also several at once: all learn the same; `lock` guards the map and the tables.
 * Limits: cuGetExportTable() is not interposed.
 */
#include "driver/real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "driver/dlopen.h"
#include "driver/dlsym.h"
#include "driver/redirect.h"
#include "share/attach.h"

struct gs_cuda gs_cuda;
struct gs_nvml gs_nvml;
bool gs_cuda_ready, gs_cuda_known, gs_nvml_ready;

struct row {
    const char *name, *symbol;
    int since;
    unsigned
        streams; /* bits: the CU_GET_PROC_ADDRESS_* flags under which the name means this symbol */
    void **real;
    void *wrapper; /* the hook; NULL for functions that are only called */
};

enum {
    PER_THREAD_SINCE = 7000,
    PER_THREAD = 1 << CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM,
    LEGACY = 1 << CU_GET_PROC_ADDRESS_DEFAULT | 1 << CU_GET_PROC_ADDRESS_LEGACY_STREAM,
};

#define REAL(symbol) (void **)&gs_cuda.symbol
#define ROW(name, symbol, since, streams) \
    {#name, #symbol, since, streams, REAL(symbol), (void *)symbol},
#define HOOK(name, symbol, since) ROW(name, symbol, since, LEGACY | PER_THREAD)
#define TWINS(name, symbol, twin, since) \
    ROW(name, symbol, since, LEGACY)     \
    ROW(name, twin, since > PER_THREAD_SINCE ? since : PER_THREAD_SINCE, PER_THREAD)
#define STREAM(name, symbol, since) TWINS(name, symbol, symbol##_ptsz, since)
#define DEFAULT(name, symbol, since) TWINS(name, symbol, symbol##_ptds, since)
#define ALIAS(name, symbol, since) HOOK(name, symbol, since)
#define CALL(symbol) {NULL, #symbol, 0, 0, REAL(symbol), NULL},
static const struct row cuda_rows[] = {
#include "hooks.def"
};

#define NVML_HOOK(symbol) {NULL, #symbol, 0, 0, (void **)&gs_nvml.symbol, (void *)symbol},
#define NVML_CALL(symbol) {NULL, #symbol, 0, 0, (void **)&gs_nvml.symbol, NULL},
static const struct row nvml_rows[] = {
#include "hooks.def"
};

enum {
    STREAM_FLAGS = 3,
    CUDA_ROWS = sizeof cuda_rows / sizeof *cuda_rows,
    NVML_ROWS = sizeof nvml_rows / sizeof *nvml_rows,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_map wrappers;
static __thread bool resolving;
static bool asking; /* a thread asks the driver for addresses */

static CUresult cuda_lacks(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t nvml_lacks(void)
{
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

static void learn(void *function, void *wrapper)
{
    uint64_t key = (uintptr_t)function;
    /* Invariant 3. */
    if (function && wrapper && !gs_map_find(&wrappers, GS_WRAPPER, key))
        gs_map_put(&wrappers,
                   &(struct gs_entry){.space = GS_WRAPPER, .key = key, .owner = wrapper});
}

/* What the libraries answer, collected before `lock` is taken: they may call dlsym() themselves. */
struct answers {
    void *exported[CUDA_ROWS];
    void *by_flags[CUDA_ROWS][STREAM_FLAGS];
};

static void ask_for_exports(void *library, const struct row *rows, int count, void **functions)
{
    for (int i = 0; i < count; i++)
        functions[i] = gs_next_dlsym()(library, rows[i].symbol);
    /* The program's next dlerror() must not report our failed lookups. */
    dlerror();
}

/* Called by the driver itself, a hook must find functions, so this comes before it is asked more. */
static void learn_exports(const struct row *rows, int count, void *const *functions, void *lacking,
                          const bool *ready)
{
    pthread_mutex_lock(&lock);
    /* Invariant 4; and once redirected, the library answers with hooks. */
    for (int i = 0; i < count && !*ready; i++) {
        *rows[i].real = functions[i] ? functions[i] : lacking;
        learn(functions[i], rows[i].wrapper);
        learn(rows[i].wrapper, rows[i].wrapper);
    }
    pthread_mutex_unlock(&lock);
}

static void *proc_address(const struct row *row, unsigned flags)
{
    void *function = NULL;
    CUdriverProcAddressQueryResult status;
    CUresult result =
        gs_cuda.cuGetProcAddress_v2 != (void *)cuda_lacks
            ? gs_cuda.cuGetProcAddress_v2(row->name, &function, row->since, flags, &status)
            : gs_cuda.cuGetProcAddress(row->name, &function, row->since, flags);
    return result == CUDA_SUCCESS ? function : NULL;
}

/* cuGetProcAddress() may return other pointers than the exported ones. */
static void ask_for_proc_addresses(struct answers *answers)
{
    for (int i = 0; i < CUDA_ROWS; i++)
        for (unsigned flags = 0; flags < STREAM_FLAGS; flags++)
            answers->by_flags[i][flags] =
                cuda_rows[i].streams >> flags & 1 ? proc_address(&cuda_rows[i], flags) : NULL;
}

static void learn_proc_addresses(const struct answers *answers)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CUDA_ROWS && !gs_cuda_ready; i++)
        for (unsigned flags = 0; flags < STREAM_FLAGS; flags++) {
            void *function = answers->by_flags[i][flags];
            if (function && *cuda_rows[i].real == (void *)cuda_lacks)
                *cuda_rows[i].real = function;
            learn(function, cuda_rows[i].wrapper);
        }
    pthread_mutex_unlock(&lock);
}

/* Invariant 5: the handle is never closed. */
static void *hold(const char *library)
{
    void *handle = gs_next_dlopen()(library, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        dlerror();
    return handle;
}

/* True for one thread. Only after it the library may be redirected. */
static bool complete(bool *ready)
{
    pthread_mutex_lock(&lock);
    bool first = !*ready;
    __atomic_store_n(ready, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    return first && gs_active();
}

static void resolve_cuda(void)
{
    struct answers answers;
    void *library = hold("libcuda.so.1");
    ask_for_exports(library ? library : RTLD_NEXT, cuda_rows, CUDA_ROWS, answers.exported);
    learn_exports(cuda_rows, CUDA_ROWS, answers.exported, (void *)cuda_lacks, &gs_cuda_ready);
    if (!library)
        return;
    __atomic_store_n(&gs_cuda_known, true, __ATOMIC_RELEASE);
    if (__atomic_exchange_n(&asking, true, __ATOMIC_ACQ_REL))
        return;
    ask_for_proc_addresses(&answers);
    learn_proc_addresses(&answers);
    if (complete(&gs_cuda_ready))
        gs_redirect(library, "libcuda.so.1");
    __atomic_store_n(&asking, false, __ATOMIC_RELEASE);
}

static void resolve_nvml(void)
{
    void *functions[NVML_ROWS], *library = hold("libnvidia-ml.so.1");
    ask_for_exports(library ? library : RTLD_NEXT, nvml_rows, NVML_ROWS, functions);
    learn_exports(nvml_rows, NVML_ROWS, functions, (void *)nvml_lacks, &gs_nvml_ready);
    if (library && complete(&gs_nvml_ready))
        gs_redirect(library, "libnvidia-ml.so.1");
}

bool gs_resolving(void)
{
    return resolving;
}

static void once_per_thread(void (*resolve)(void))
{
    if (resolving)
        return;
    resolving = true;
    resolve();
    resolving = false;
}

void gs_resolve_cuda(void)
{
    once_per_thread(resolve_cuda);
}

void gs_resolve_nvml(void)
{
    once_per_thread(resolve_nvml);
}

void gs_resolve_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    resolving = asking = false;
}

void *gs_find_wrapper(void *function)
{
    pthread_mutex_lock(&lock);
    const struct gs_entry *entry = gs_map_find(&wrappers, GS_WRAPPER, (uintptr_t)function);
    void *wrapper = entry ? entry->owner : NULL;
    pthread_mutex_unlock(&lock);
    return wrapper;
}

/*
 * The first lookups of a program may come on two threads at once. Only once, and not for long: this
 * may be a thread that the driver itself waits for.
 */
static void wait_for_answers(void)
{
    enum { MOST_MS = 100 };
    static bool waited;
    for (int ms = 0; ms < MOST_MS && !__atomic_load_n(&waited, __ATOMIC_RELAXED); ms++) {
        if (!__atomic_load_n(&asking, __ATOMIC_ACQUIRE))
            return;
        gs_nap(1000000);
    }
    __atomic_store_n(&waited, true, __ATOMIC_RELAXED);
}

void *gs_wrapper(void *function, const char *name)
{
    void *wrapper = gs_find_wrapper(function);
    if (!wrapper && __atomic_load_n(&asking, __ATOMIC_ACQUIRE)) {
        wait_for_answers();
        wrapper = gs_find_wrapper(function);
    }
    if (!wrapper)
        gs_count_unhooked(name);
    return wrapper ? wrapper : function;
}

bool gs_is_wrapper(void *function)
{
    for (int i = 0; i < CUDA_ROWS; i++)
        if (cuda_rows[i].wrapper == function)
            return true;
    for (int i = 0; i < NVML_ROWS; i++)
        if (nvml_rows[i].wrapper == function)
            return true;
    return false;
}

static void *behind(const struct row *rows, int count, const void *hook, const char *symbol)
{
    for (int i = 0; i < count; i++)
        if (rows[i].wrapper == hook && strcmp(rows[i].symbol, symbol) == 0)
            return *rows[i].real;
    return NULL;
}

void *gs_plain(void *function, const char *symbol)
{
    void *plain = behind(cuda_rows, CUDA_ROWS, function, symbol);
    if (!plain)
        plain = behind(nvml_rows, NVML_ROWS, function, symbol);
    return function && plain ? plain : function;
}

bool gs_hooks_symbol(const char *symbol)
{
    for (int i = 0; i < CUDA_ROWS && symbol[0] == 'c'; i++)
        if (cuda_rows[i].wrapper && strcmp(cuda_rows[i].symbol, symbol) == 0)
            return true;
    for (int i = 0; i < NVML_ROWS && symbol[0] == 'n'; i++)
        if (nvml_rows[i].wrapper && strcmp(nvml_rows[i].symbol, symbol) == 0)
            return true;
    return false;
}

bool gs_hooks_name(const char *name)
{
    for (int i = 0; i < CUDA_ROWS; i++)
        if (cuda_rows[i].name && strcmp(cuda_rows[i].name, name) == 0)
            return true;
    return false;
}

static CUresult handed_out(CUresult result, const char *name, void **function)
{
    if (result != CUDA_SUCCESS || !function || !*function || !gs_active())
        return result;
    if (gs_hooks_name(name))
        *function = gs_wrapper(*function, name);
    return result;
}

CUresult cuGetProcAddress(const char *name, void **function, int version, cuuint64_t flags)
{
    return handed_out(cuda()->cuGetProcAddress(name, function, version, flags), name, function);
}

CUresult cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    return handed_out(cuda()->cuGetProcAddress_v2(name, function, version, flags, status), name,
                      function);
}
