/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/code/module.h"

#include "cuda/code/image.h"
#include "cuda/core/context.h"
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"
#include "cuda/memory/allocation.h"
#include "cuda/stream/wait.h"

enum { FATBIN = 0xba55ed50u, FATBIN_WRAPPER = 0x466243b1u };

typedef struct fatbin_header {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size;
} fatbin_header;
typedef struct fatbin_entry {
    uint16_t kind, version;
    uint32_t header_size;
    uint64_t size;
    uint32_t unused[6];
    uint64_t flags;
} fatbin_entry;
enum { FATBIN_PTX = 1, FATBIN_LZ4 = 0x2000, FATBIN_ZSTD = 0x8000 };

static bool read_text(CUmodule module, const fatbin_entry *entry, const unsigned char *payload)
{
    if (entry->kind != FATBIN_PTX || entry->flags & (FATBIN_LZ4 | FATBIN_ZSTD))
        return false;
    char *text = strndup((const char *)payload, entry->size);
    bool read = text && gs_ptx_parse(module, text);
    free(text);
    return read;
}

/* Code for a GPU comes before PTX of the same kernels, as in what nvcc writes. */
static void read_fatbin(CUmodule module, const unsigned char *image)
{
    const fatbin_header *header = (const fatbin_header *)image;
    const unsigned char *at = image + header->header_size, *end = at + header->size;
    while (at + sizeof(fatbin_entry) <= end) {
        const fatbin_entry *entry = (const fatbin_entry *)at;
        const unsigned char *payload = at + entry->header_size;
        if (memcmp(payload, "\177ELF", 4) == 0 && gs_elf_parse(module, payload))
            return;
        if (read_text(module, entry, payload))
            return;
        at = payload + entry->size;
        if (!entry->header_size)
            return;
    }
}

static CUresult read_image(CUmodule module, const void *image)
{
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    if (magic == FATBIN_WRAPPER) {
        memcpy(&image, (const char *)image + 8, sizeof image);
        memcpy(&magic, image, sizeof magic);
    }
    if (magic == FATBIN) {
        read_fatbin(module, image);
        return CUDA_SUCCESS;
    }
    if (memcmp(image, "\177ELF", 4) == 0)
        return gs_elf_parse(module, image) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
    return gs_ptx_parse(module, image) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}

enum { IN_CONTEXT = 1 << 20 }; /* smaller modules fit into what a context has taken already */

/*
 * Takes the device memory of a module. A real driver that loads lazily does so at the first use of
 * a variable; here it is at loading, as with eager loading.
 */
static CUresult take_memory(CUcontext ctx, CUmodule module)
{
    uint64_t variables = 0;
    for (gs_global *global = module->globals; global; global = global->next)
        variables += global->size;
    for (gs_global *global = module->globals; global && variables > IN_CONTEXT;
         global = global->next)
        if (!global->at)
            TRY(gs_alloc(ctx, global->size, &global->at));
    if (module->bytes > IN_CONTEXT && !module->data)
        TRY(gs_alloc(ctx, module->bytes, &module->data));
    return CUDA_SUCCESS;
}

static void drop(CUmodule module)
{
    for (CUfunction function = module->functions, next; function; function = next) {
        next = function->next;
        gs_handle_free(function);
    }
    for (gs_global *global = module->globals, *next; global; global = next) {
        next = global->next;
        if (global->at)
            gs_free(global->at);
        free(global);
    }
    if (module->data)
        gs_free(module->data);
    gs_handle_free(module);
}

void gs_modules_free(CUcontext ctx)
{
    while (ctx->modules) {
        CUmodule module = ctx->modules;
        ctx->modules = module->next;
        drop(module);
    }
}

static CUresult load(CUcontext ctx, CUmodule *module, const void *image)
{
    CHECK(module && image, CUDA_ERROR_INVALID_VALUE);
    CUmodule loaded = gs_handle_new(KIND_MODULE, sizeof *loaded);
    loaded->ctx = ctx;
    CUresult result = read_image(loaded, image);
    if (result == CUDA_SUCCESS)
        result = take_memory(ctx, loaded);
    if (result != CUDA_SUCCESS) {
        drop(loaded);
        return result;
    }
    loaded->next = ctx->modules;
    ctx->modules = *module = loaded;
    return CUDA_SUCCESS;
}

static char *read_all(const char *path)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    char *text = NULL;
    size_t size = 0, count;
    if (!file)
        return NULL;
    do {
        text = realloc(text, size + (1 << 16) + 1);
        count = fread(text + size, 1, 1 << 16, file);
        size += count;
    } while (count);
    text[size] = '\0';
    fclose(file);
    return text;
}

CUresult cuModuleLoad(CUmodule *module, const char *path)
{
    ENTER(NEED_CONTEXT);
    char *image = read_all(path);
    CHECK(image, CUDA_ERROR_FILE_NOT_FOUND);
    CUresult result = load(call.ctx, module, image);
    free(image);
    return result;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    ENTER(NEED_CONTEXT);
    return load(call.ctx, module, image);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count,
                            CUjit_option *options, void **values)
{
    (void)count, (void)options, (void)values;
    return cuModuleLoadData(module, image);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    return cuModuleLoadData(module, image);
}

CUresult cuModuleUnload(CUmodule module)
{
    ENTER(NEED_INIT);
    CHECK(gs_handle_is(module, KIND_MODULE), CUDA_ERROR_INVALID_HANDLE);
    CUmodule *link = &module->ctx->modules;
    gs_context_wait(module->ctx);
    while (*link != module)
        link = &(*link)->next;
    *link = module->next;
    drop(module);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    ENTER(NEED_INIT);
    CHECK(mode, CUDA_ERROR_INVALID_VALUE);
    *mode = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

static CUresult find(CUmodule module, const char *name, CUfunction *function)
{
    CHECK(function && name, CUDA_ERROR_INVALID_VALUE);
    for (*function = module->functions; *function; *function = (*function)->next)
        if (strcmp((*function)->name, name) == 0)
            return CUDA_SUCCESS;
    CHECK(!module->closed && *name, CUDA_ERROR_NOT_FOUND);
    *function = gs_module_add(module, name, strlen(name), -1);
    return CUDA_SUCCESS;
}

static CUresult enumerate(CUmodule module, CUfunction *functions, unsigned int room)
{
    CUfunction function = module->functions;
    for (unsigned int i = 0; i < room && function; i++, function = function->next)
        functions[i] = function;
    return CUDA_SUCCESS;
}

static unsigned int count(CUmodule module)
{
    unsigned int n = 0;
    for (CUfunction function = module->functions; function; function = function->next)
        n++;
    return n;
}

/* What a variable gets whose size a compressed image hides: all that constant memory can be. */
enum { HIDDEN_SIZE = 64 << 10 };

static CUresult find_global(CUcontext ctx, CUmodule module, const char *name, CUdeviceptr *at,
                            size_t *size)
{
    CHECK(name, CUDA_ERROR_INVALID_VALUE);
    gs_global *global = module->globals;
    while (global && strcmp(global->name, name) != 0)
        global = global->next;
    CHECK(global || !module->closed, CUDA_ERROR_NOT_FOUND);
    if (!global)
        global = gs_module_add_global(module, name, HIDDEN_SIZE);
    if (!global->at)
        TRY(gs_alloc(ctx, global->size, &global->at));
    if (at)
        *at = global->at;
    if (size)
        *size = global->size;
    return CUDA_SUCCESS;
}

/* cuLibraryGetModule() answers the library itself. */
static bool is_module(CUmodule module)
{
    return gs_handle_is(module, KIND_MODULE) || gs_handle_is(module, KIND_LIBRARY);
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    ENTER(NEED_CONTEXT);
    CHECK(is_module(module), CUDA_ERROR_INVALID_HANDLE);
    return find(module, name, function);
}

CUresult cuModuleGetFunctionCount(unsigned int *number, CUmodule module)
{
    ENTER(NEED_INIT);
    CHECK(number && is_module(module), CUDA_ERROR_INVALID_VALUE);
    *number = count(module);
    return CUDA_SUCCESS;
}

CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned int room, CUmodule module)
{
    ENTER(NEED_INIT);
    CHECK(functions && is_module(module), CUDA_ERROR_INVALID_VALUE);
    return enumerate(module, functions, room);
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *at, size_t *size, CUmodule module, const char *name)
{
    ENTER(NEED_CONTEXT);
    CHECK(is_module(module), CUDA_ERROR_INVALID_HANDLE);
    return find_global(call.ctx, module, name, at, size);
}

static CUresult load_library(CUlibrary *library, const void *image)
{
    CHECK(library && image, CUDA_ERROR_INVALID_VALUE);
    CUmodule module = gs_handle_new(KIND_LIBRARY, sizeof *module);
    module->library = (CUlibrary)module;
    CUcontext ctx = gs_context_current();
    CUresult result = read_image(module, image);
    if (result == CUDA_SUCCESS && ctx)
        result = take_memory(ctx, module);
    if (result != CUDA_SUCCESS)
        drop(module);
    else
        *library = (CUlibrary)module;
    return result;
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *image, CUjit_option *jit,
                           void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                           void **values, unsigned int number)
{
    (void)jit, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)number;
    ENTER(NEED_INIT);
    return load_library(library, image);
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *path, CUjit_option *jit,
                               void **jit_values, unsigned int jit_count, CUlibraryOption *options,
                               void **values, unsigned int number)
{
    (void)jit, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)number;
    ENTER(NEED_INIT);
    char *image = read_all(path);
    CHECK(image, CUDA_ERROR_FILE_NOT_FOUND);
    CUresult result = load_library(library, image);
    free(image);
    return result;
}

#define LIBRARY(library) CHECK(gs_handle_is(library, KIND_LIBRARY), CUDA_ERROR_INVALID_HANDLE)

CUresult cuLibraryUnload(CUlibrary library)
{
    ENTER(NEED_INIT);
    LIBRARY(library);
    drop((CUmodule)library);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    ENTER(NEED_INIT);
    LIBRARY(library);
    return find((CUmodule)library, name, (CUfunction *)kernel);
}

CUresult cuLibraryGetKernelCount(unsigned int *number, CUlibrary library)
{
    ENTER(NEED_INIT);
    LIBRARY(library);
    CHECK(number, CUDA_ERROR_INVALID_VALUE);
    *number = count((CUmodule)library);
    return CUDA_SUCCESS;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int room, CUlibrary library)
{
    ENTER(NEED_INIT);
    LIBRARY(library);
    CHECK(kernels, CUDA_ERROR_INVALID_VALUE);
    return enumerate((CUmodule)library, (CUfunction *)kernels, room);
}

CUresult cuLibraryGetModule(CUmodule *module, CUlibrary library)
{
    ENTER(NEED_CONTEXT);
    LIBRARY(library);
    CHECK(module, CUDA_ERROR_INVALID_VALUE);
    TRY(take_memory(call.ctx, (CUmodule)library));
    *module = (CUmodule)library;
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *at, size_t *size, CUlibrary library, const char *name)
{
    ENTER(NEED_CONTEXT);
    LIBRARY(library);
    return find_global(call.ctx, (CUmodule)library, name, at, size);
}
