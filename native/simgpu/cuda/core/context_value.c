/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/context_value.h"

#include "cuda/core/context.h"

static gs_context_value **place(CUcontext ctx, const void *key)
{
    gs_context_value **link = &ctx->values;
    while (*link && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

CUresult gs_context_value_put(CUcontext ctx, void *key, void *value, gs_value_destroy *destroy)
{
    gs_context_value **link = place(ctx, key);
    if (!*link)
        *link = calloc(1, sizeof **link);
    CHECK(*link, CUDA_ERROR_OUT_OF_MEMORY);
    (*link)->key = key;
    (*link)->value = value;
    (*link)->destroy = destroy;
    return CUDA_SUCCESS;
}

CUresult gs_context_value_get(CUcontext ctx, void *key, void **value)
{
    gs_context_value *stored = *place(ctx, key);
    CHECK(stored, CUDA_ERROR_INVALID_HANDLE);
    *value = stored->value;
    return CUDA_SUCCESS;
}

void gs_context_value_remove(CUcontext ctx, void *key)
{
    gs_context_value **link = place(ctx, key), *removed = *link;
    if (!removed)
        return;
    *link = removed->next;
    free(removed);
}

void gs_context_values_end(CUcontext ctx)
{
    while (ctx->values) {
        gs_context_value ended = *ctx->values;
        free(ctx->values);
        ctx->values = ended.next;
        if (!ended.destroy)
            continue;
        pthread_mutex_unlock(&sim.lock);
        ended.destroy(ctx, ended.key, ended.value);
        pthread_mutex_lock(&sim.lock);
    }
}
