/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/graph/user_object.h"

#include "cuda/core/entry.h"
#include "cuda/core/handle.h"

struct CUuserObject_st {
    void *object;
    CUhostFn destroy;
    unsigned int references;
};

#define OBJECT(object) CHECK(gs_handle_is(object, KIND_USER_OBJECT), CUDA_ERROR_INVALID_VALUE)

static void drop(CUuserObject object, unsigned int count)
{
    object->references -= MIN(count, object->references);
    if (object->references)
        return;
    object->destroy(object->object);
    gs_handle_free(object);
}

void gs_user_objects_drop(gs_retained *list)
{
    for (gs_retained *entry = list, *next; entry; entry = next) {
        next = entry->next;
        drop(entry->object, entry->count);
        free(entry);
    }
}

CUresult cuUserObjectCreate(CUuserObject *object, void *pointer, CUhostFn destroy,
                            unsigned int references, unsigned int flags)
{
    ENTER(NEED_INIT);
    CHECK(object && destroy && references && flags == 1, CUDA_ERROR_INVALID_VALUE);
    *object = gs_handle_new(KIND_USER_OBJECT, sizeof **object);
    **object = (struct CUuserObject_st){pointer, destroy, references};
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRetain(CUuserObject object, unsigned int count)
{
    ENTER(NEED_INIT);
    OBJECT(object);
    CHECK(count, CUDA_ERROR_INVALID_VALUE);
    object->references += count;
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned int count)
{
    ENTER(NEED_INIT);
    OBJECT(object);
    CHECK(count && count <= object->references, CUDA_ERROR_INVALID_VALUE);
    drop(object, count);
    return CUDA_SUCCESS;
}

CUresult gs_user_object_retain(gs_retained **list, CUuserObject object, unsigned int count,
                               bool move)
{
    OBJECT(object);
    gs_retained *entry = malloc(sizeof *entry);
    *entry = (gs_retained){object, count, *list};
    *list = entry;
    object->references += move ? 0 : count;
    return CUDA_SUCCESS;
}

CUresult gs_user_object_release(gs_retained **list, CUuserObject object, unsigned int count)
{
    OBJECT(object);
    for (gs_retained **link = list; *link; link = &(*link)->next) {
        gs_retained *entry = *link;
        if (entry->object != object || entry->count < count)
            continue;
        entry->count -= count;
        drop(object, count);
        if (!entry->count) {
            *link = entry->next;
            free(entry);
        }
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}
