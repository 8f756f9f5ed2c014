/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuGetProcAddress, from the table cuda/api.def. A row with a per-thread form gets a wrapper that
 * makes the per-thread stream the default while the plain function runs.
 */
#include "cuda/core/driver.h"

#define API __attribute__((visibility("default")))

#define PER_THREAD(symbol, suffix, params, args) \
    API CUresult symbol##suffix params           \
    {                                            \
        gs_per_thread_default++;                 \
        CUresult result = symbol args;           \
        gs_per_thread_default--;                 \
        return result;                           \
    }
#define X(name, symbol, since, params)
#define PTSZ(name, symbol, since, params, args) PER_THREAD(symbol, _ptsz, params, args)
#define PTDS(name, symbol, since, params, args) PER_THREAD(symbol, _ptds, params, args)
#include "cuda/api.def"
#undef X
#undef PTSZ
#undef PTDS

typedef struct entry {
    const char *name;
    int since;
    void *plain, *per_thread;
} entry;

#define X(name, symbol, since, params) {#name, since, (void *)symbol, (void *)symbol},
#define PTSZ(name, symbol, since, params, args) \
    {#name, since, (void *)symbol, (void *)symbol##_ptsz},
#define PTDS(name, symbol, since, params, args) \
    {#name, since, (void *)symbol, (void *)symbol##_ptds},
static const entry entries[] = {
#include "cuda/api.def"
};

static CUresult look_up(const char *name, void **function, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult *status)
{
    const entry *best = NULL;
    bool exists = false;
    const gs_image *image = gs_image_attach();
    int newest = image ? (int)image->cuda : CUDA_VERSION;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(entries[i].name, name) != 0)
            continue;
        exists = true;
        if (entries[i].since <= version && entries[i].since <= newest)
            best = &entries[i];
    }
    bool per_thread = flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    *function = best ? per_thread ? best->per_thread : best->plain : NULL;
    if (status)
        *status = best     ? CU_GET_PROC_ADDRESS_SUCCESS
                  : exists ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                           : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return best ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *name, void **function, int version, cuuint64_t flags)
{
    CHECK(name && function && flags <= 3, CUDA_ERROR_INVALID_VALUE);
    return look_up(name, function, version, flags, NULL);
}

/* With `status` this form succeeds, and `status` tells why a function is missing. */
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    CHECK(name && function && flags <= 3, CUDA_ERROR_INVALID_VALUE);
    CUresult result = look_up(name, function, version, flags, status);
    return status ? CUDA_SUCCESS : result;
}
