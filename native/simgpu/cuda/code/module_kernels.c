/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/code/module_kernels.h"

#include "cuda/core/handle.h"

CUfunction gs_module_add(CUmodule module, const char *name, size_t length, int params)
{
    for (CUfunction existing = module->functions; existing; existing = existing->next)
        if (strlen(existing->name) == length && strncmp(existing->name, name, length) == 0)
            return existing;
    CUfunction function = gs_handle_new(KIND_FUNCTION, sizeof *function);
    function->ctx = module->ctx;
    function->module = module;
    function->library = module->library;
    function->params = params;
    function->attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
    function->attributes[CU_FUNC_ATTRIBUTE_NUM_REGS] = 32;
    function->attributes[CU_FUNC_ATTRIBUTE_PTX_VERSION] = 90;
    function->attributes[CU_FUNC_ATTRIBUTE_BINARY_VERSION] = 90;
    function->attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 49152;
    function->attributes[CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = -1;
    snprintf(function->name, sizeof function->name, "%.*s", (int)length, name);
    function->next = module->functions;
    module->functions = function;
    return function;
}

gs_global *gs_module_add_global(CUmodule module, const char *name, uint64_t size)
{
    gs_global *global = calloc(1, sizeof *global);
    snprintf(global->name, sizeof global->name, "%s", name);
    global->size = size;
    global->next = module->globals;
    module->globals = global;
    return global;
}
