/* SPDX-License-Identifier: Apache-2.0 */
/* The run-time linker: its output is its inputs, one after another. */
#include "cuda/core/entry.h"
#include "cuda/core/handle.h"

struct CUlinkState_st {
    char *text;
    size_t size;
};

#define LINK(state) CHECK(gs_handle_is(state, KIND_LINK), CUDA_ERROR_INVALID_HANDLE)

CUresult cuLinkCreate_v2(unsigned int count, CUjit_option *options, void **values,
                         CUlinkState *state)
{
    (void)count, (void)options, (void)values;
    ENTER(NEED_CONTEXT);
    CHECK(state, CUDA_ERROR_INVALID_VALUE);
    *state = gs_handle_new(KIND_LINK, sizeof **state);
    return CUDA_SUCCESS;
}

CUresult cuLinkCreate(unsigned int count, CUjit_option *options, void **values, CUlinkState *state)
{
    return cuLinkCreate_v2(count, options, values, state);
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void *data, size_t size,
                          const char *name, unsigned int count, CUjit_option *options,
                          void **values)
{
    (void)type, (void)name, (void)count, (void)options, (void)values;
    ENTER(NEED_INIT);
    LINK(state);
    CHECK(data && size, CUDA_ERROR_INVALID_VALUE);
    /* Binaries cannot be concatenated: the first one is the output. */
    if (state->size && memcmp(state->text, "\177ELF", 4) == 0)
        return CUDA_SUCCESS;
    if (state->size && state->text[state->size - 1] == '\0')
        state->size--;
    state->text = realloc(state->text, state->size + size + 1);
    memcpy(state->text + state->size, data, size);
    state->size += size;
    state->text[state->size] = '\0';
    return CUDA_SUCCESS;
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void *data, size_t size,
                       const char *name, unsigned int count, CUjit_option *options, void **values)
{
    return cuLinkAddData_v2(state, type, data, size, name, count, options, values);
}

CUresult cuLinkComplete(CUlinkState state, void **image, size_t *size)
{
    ENTER(NEED_INIT);
    LINK(state);
    CHECK(image && state->size, CUDA_ERROR_INVALID_VALUE);
    *image = state->text;
    if (size)
        *size = state->size;
    return CUDA_SUCCESS;
}

CUresult cuLinkDestroy(CUlinkState state)
{
    ENTER(NEED_INIT);
    LINK(state);
    free(state->text);
    gs_handle_free(state);
    return CUDA_SUCCESS;
}
