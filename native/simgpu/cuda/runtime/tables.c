/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private tables that the CUDA runtime asks of a driver by cuGetExportTable(). They are arrays
 * of functions; the first element is the size in bytes.
 *
 * Facts: identifiers, positions and parameters are as in ZLUDA (dark_api/src/lib.rs); those of
 * `identity`, which the runtimes from 13.4 on ask for, as in the GX emulator. Tried with the
 * runtimes 11.8, 12.1, 12.4, 12.8, 12.9, 13.0 and 13.5.
 */
#include "cuda/context/context.h"
#include "cuda/core/context.h"
#include "cuda/core/context_value.h"
#include "cuda/core/device.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/symbols/not_simulated.h"
#include "cuda/runtime/handshake.h"

typedef const void *entry;
#define BYTES(entries) ((entry)(sizeof(entry) * (entries)))

/* What the entries of unknown purpose of a table do. Their parameters are unknown, too. */
#define UNKNOWN(table, id)                                                                    \
    static CUresult table##_unknown(void)                                                     \
    {                                                                                         \
        static bool printed;                                                                  \
        return gs_not_simulated(&printed, "a private function of the driver (table " id ")"); \
    }
UNKNOWN(cudart, "6bd5fb6c")
UNKNOWN(thread, "42d85a81")
UNKNOWN(callbacks, "a094798c")
UNKNOWN(checks, "263e8860")
UNKNOWN(identity, "21318c60")

static CUresult load_module(CUmodule *module, const void *fatbin)
{
    return cuModuleLoadData(module, fatbin);
}

static CUresult load_module_with(CUmodule *module, const void *fatbin, void *options, void *values,
                                 unsigned int flags)
{
    (void)options, (void)values, (void)flags;
    return cuModuleLoadData(module, fatbin);
}

static CUresult load_header_with(const void *fatbin, CUmodule *module, void *options, void *values,
                                 unsigned int flags)
{
    return load_module_with(module, fatbin, options, values, flags);
}

/* The runtime asks for every device when it starts; none is occupied yet. */
static CUresult primary_context(CUcontext *ctx, CUdevice ordinal)
{
    gs_device *device;
    ENTER(NEED_INIT);
    CHECK(ctx, CUDA_ERROR_INVALID_VALUE);
    TRY(gs_ordinal(ordinal, &device));
    *ctx = gs_primary_for_runtime(ordinal);
    return CUDA_SUCCESS;
}

static void nothing(void)
{
}

static CUresult load_compilers(void)
{
    return CUDA_SUCCESS;
}

static const entry cudart[13] = {
    [0] = BYTES(13),        [1] = load_module, [2] = primary_context,  [3 ... 5] = cudart_unknown,
    [6] = load_module_with, [7] = nothing,     [8] = load_header_with, [9 ... 11] = cudart_unknown,
    [12] = load_compilers,
};

static CUresult current_context(CUcontext *ctx)
{
    return cuCtxGetCurrent(ctx);
}

static const entry thread[4] = {BYTES(4), thread_unknown, current_context, thread_unknown};

/* Buffers in which profilers enable callbacks; the runtime reads them, and zero means none. */
static void enabled_domains(void **at, size_t *size)
{
    static uint32_t words[1024];
    *at = words;
    *size = sizeof words / sizeof *words;
}

static void enabled_callbacks(void **at, size_t *size)
{
    static uint32_t words[14];
    *at = words;
    *size = sizeof words / sizeof *words;
}

static const entry callbacks[7] = {
    [0] = BYTES(7),          [1] = callbacks_unknown,
    [2] = enabled_domains,   [3 ... 5] = callbacks_unknown,
    [6] = enabled_callbacks,
};

static CUresult named(CUcontext *ctx)
{
    if (!*ctx)
        *ctx = gs_context_current();
    return gs_handle_is(*ctx, KIND_CONTEXT) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult put_value(CUcontext ctx, void *key, void *value, gs_value_destroy *destroy)
{
    ENTER(NEED_INIT);
    TRY(named(&ctx));
    return gs_context_value_put(ctx, key, value, destroy);
}

static CUresult remove_value(CUcontext ctx, void *key)
{
    ENTER(NEED_INIT);
    TRY(named(&ctx));
    gs_context_value_remove(ctx, key);
    return CUDA_SUCCESS;
}

static CUresult get_value(void **value, CUcontext ctx, void *key)
{
    ENTER(NEED_INIT);
    CHECK(value, CUDA_ERROR_INVALID_VALUE);
    TRY(named(&ctx));
    return gs_context_value_get(ctx, key, value);
}

/* The one table that does not begin with its size. */
static const entry values[4] = {put_value, remove_value, get_value, NULL};

static CUresult check_context(CUcontext ctx, uint32_t *flags, const void **detail)
{
    (void)ctx, (void)detail;
    CHECK(flags, CUDA_ERROR_INVALID_VALUE);
    *flags = 0;
    return CUDA_SUCCESS;
}

static uint32_t check_nothing(void)
{
    return 0;
}

static const entry checks[4] = {BYTES(4), checks_unknown, check_context, check_nothing};

static CUresult device_of(CUcontext ctx, CUdevice *ordinal)
{
    ENTER(NEED_INIT);
    CHECK(ordinal, CUDA_ERROR_INVALID_VALUE);
    TRY(named(&ctx));
    *ordinal = ctx->ordinal;
    return CUDA_SUCCESS;
}

/* The device and the number of a context. */
static const entry identity[95] = {
    [0] = BYTES(95),  [1 ... 2] = identity_unknown,  [3] = device_of,
    [4] = cuCtxGetId, [5 ... 94] = identity_unknown,
};

static CUresult prove(uint32_t version, uint64_t unix_seconds, uint64_t answer[2]);
static const entry handshake[3] = {BYTES(3), prove, NULL};

static CUresult prove(uint32_t version, uint64_t unix_seconds, uint64_t answer[2])
{
    const gs_handshake_tables used = {cudart, handshake, handshake[1]};
    return gs_handshake(version, unix_seconds, &used, answer);
}

typedef struct table {
    uint8_t id[sizeof(CUuuid)];
    const entry *entries;
} table;

static const table tables[] = {
    {{0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a, 0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd, 0x9d,
      0xf9},
     cudart},
    {{0x42, 0xd8, 0x5a, 0x81, 0x23, 0xf6, 0xcb, 0x47, 0x82, 0x98, 0xf6, 0xe7, 0x8a, 0x3a, 0xec,
      0xdc},
     thread},
    {{0xa0, 0x94, 0x79, 0x8c, 0x2e, 0x74, 0x2e, 0x74, 0x93, 0xf2, 0x08, 0x00, 0x20, 0x0c, 0x0a,
      0x66},
     callbacks},
    {{0xc6, 0x93, 0x33, 0x6e, 0x11, 0x21, 0xdf, 0x11, 0xa8, 0xc3, 0x68, 0xf3, 0x55, 0xd8, 0x95,
      0x93},
     values},
    {{0x26, 0x3e, 0x88, 0x60, 0x7c, 0xd2, 0x61, 0x43, 0x92, 0xf6, 0xbb, 0xd5, 0x00, 0x6d, 0xfa,
      0x7e},
     checks},
    {{0x21, 0x31, 0x8c, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8c, 0xa6, 0x41, 0xff, 0x73, 0x24, 0xc8,
      0xf2},
     identity},
    {{0xd4, 0x08, 0x20, 0x55, 0xbd, 0xe6, 0x70, 0x4b, 0x8d, 0x34, 0xba, 0x12, 0x3c, 0x66, 0xe1,
      0xf2},
     handshake},
};

/* An unknown table must not be found: the runtimes from 12.9 on take one (f8cff951) for a driver
 * that starts them in another way. */
CUresult cuGetExportTable(const void **entries, const CUuuid *id)
{
    CHECK(entries && id, CUDA_ERROR_INVALID_VALUE);
    *entries = NULL;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (memcmp(tables[i].id, id, sizeof *id) == 0)
            *entries = tables[i].entries;
    return *entries ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
