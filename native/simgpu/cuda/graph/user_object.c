/* SPDX-License-Identifier: Apache-2.0 */
/* User objects: something of the program's that lives as long as a graph needs it. */
#include "cuda/core/sim.h"

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

CUresult cuUserObjectCreate(CUuserObject *object, void *pointer, CUhostFn destroy, unsigned int references,
                            unsigned int flags)
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

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count, unsigned int move)
{
    ENTER(NEED_INIT);
    OBJECT(object);
    CHECK(gs_handle_is(graph, KIND_GRAPH) && count && move <= 1, CUDA_ERROR_INVALID_VALUE);
    gs_kept *kept = malloc(sizeof *kept);
    *kept = (gs_kept){object, count, graph->kept};
    graph->kept = kept;
    object->references += move ? 0 : count;
    return CUDA_SUCCESS;
}

CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count)
{
    ENTER(NEED_INIT);
    OBJECT(object);
    CHECK(gs_handle_is(graph, KIND_GRAPH), CUDA_ERROR_INVALID_VALUE);
    for (gs_kept **link = &graph->kept; *link; link = &(*link)->next) {
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
