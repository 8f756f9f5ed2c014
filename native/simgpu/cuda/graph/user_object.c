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

void gs_user_objects_drop(gs_kept *list)
{
    for (gs_kept *kept = list, *next; kept; kept = next) {
        next = kept->next;
        drop(kept->object, kept->count);
        free(kept);
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

CUresult gs_user_object_keep(gs_kept **list, CUuserObject object, unsigned int count, bool move)
{
    OBJECT(object);
    gs_kept *kept = malloc(sizeof *kept);
    *kept = (gs_kept){object, count, *list};
    *list = kept;
    object->references += move ? 0 : count;
    return CUDA_SUCCESS;
}

CUresult gs_user_object_release(gs_kept **list, CUuserObject object, unsigned int count)
{
    OBJECT(object);
    for (gs_kept **link = list; *link; link = &(*link)->next) {
        gs_kept *kept = *link;
        if (kept->object != object || kept->count < count)
            continue;
        kept->count -= count;
        drop(object, count);
        if (!kept->count) {
            *link = kept->next;
            free(kept);
        }
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}
