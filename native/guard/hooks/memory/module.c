/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules and libraries: their global variables are device memory, charged as the image declares
 * them, before it is loaded. What is smaller than a page of its own is part of a context's cost.
 *
 * A driver that loads lazily takes the memory of variables at their first use. It is charged at
 * loading anyway, where the program expects an error. Code counts only where it is loaded at
 * once: libraries carry far more of it than a program uses.
 */
#include "charge/ledger.h"
#include "charge/pressure.h"
#include "driver/quiesce.h"
#include "hooks/memory/alloc.h"
#include "hooks/memory/image.h"
#include "hooks/setup/context.h"
#include "share/attach.h"

enum { IN_CONTEXT = 1 << 20 };

static bool loads_code(void)
{
    CUmoduleLoadingMode mode = CU_MODULE_LAZY_LOADING;
    return cuda()->cuModuleGetLoadingMode(&mode) == CUDA_SUCCESS && mode == CU_MODULE_EAGER_LOADING;
}

/* What is charged before loading: bytes on `place`, or nothing. False: the share has no more. */
static bool begin(struct gs_place *place, uint64_t *bytes)
{
    if (*bytes <= IN_CONTEXT)
        *bytes = 0;
    *place = *bytes ? gs_place_current() : (struct gs_place){.gpu = -1};
    if (place->gpu < 0)
        *bytes = 0;
    return !*bytes || gs_charge_or_reclaim(GS_BLOCK, place->gpu, *bytes);
}

static CUresult end(CUresult result, const struct gs_place *place, uint64_t bytes,
                    enum gs_space space, const void *handle)
{
    if (!bytes)
        return result;
    return gs_record(result, place, space, result == CUDA_SUCCESS ? (uintptr_t)handle : 0, bytes);
}

#define LOAD(space, handle, declared, call)                                                  \
    do {                                                                                     \
        struct gs_place place;                                                               \
        uint64_t bytes = gs_active() ? (declared) : 0;                                       \
        if (!begin(&place, &bytes))                                                          \
            return gs_refuse(place.gpu);                                                     \
        CUresult result = GS_INSIDE(call);                                                   \
        return end(result, &place, bytes, space, result == CUDA_SUCCESS ? *(handle) : NULL); \
    } while (0)

#define IN_MEMORY(image) gs_image_bytes(image, SIZE_MAX, loads_code())
#define IN_FILE(path) gs_image_file_bytes(path, loads_code())

CUresult cuModuleLoad(CUmodule *module, const char *path)
{
    LOAD(GS_MODULE, module, IN_FILE(path), cuda()->cuModuleLoad(module, path));
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    LOAD(GS_MODULE, module, IN_MEMORY(image), cuda()->cuModuleLoadData(module, image));
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count,
                            CUjit_option *options, void **values)
{
    LOAD(GS_MODULE, module, IN_MEMORY(image),
         cuda()->cuModuleLoadDataEx(module, image, count, options, values));
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    LOAD(GS_MODULE, module, IN_MEMORY(image), cuda()->cuModuleLoadFatBinary(module, image));
}

CUresult cuModuleUnload(CUmodule module)
{
    GS_FREEING(GS_MODULE, (uintptr_t)module, GS_INSIDE(cuda()->cuModuleUnload(module)));
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *image, CUjit_option *jit,
                           void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                           void **values, unsigned int count)
{
    LOAD(GS_LIBRARY, library, IN_MEMORY(image),
         cuda()->cuLibraryLoadData(library, image, jit, jit_values, jit_count, options, values,
                                   count));
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *path, CUjit_option *jit,
                               void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                               void **values, unsigned int count)
{
    LOAD(GS_LIBRARY, library, IN_FILE(path),
         cuda()->cuLibraryLoadFromFile(library, path, jit, jit_values, jit_count, options, values,
                                       count));
}

CUresult cuLibraryUnload(CUlibrary library)
{
    GS_FREEING(GS_LIBRARY, (uintptr_t)library, GS_INSIDE(cuda()->cuLibraryUnload(library)));
}
