/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/execution/graph.h"

#include <stdlib.h>

#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "hooks/memory/graph_memory.h"
#include "hooks/execution/launch.h"

static bool graphs_exist; /* executable graphs with memory nodes */

static bool graphs_with_memory(void)
{
    return __atomic_load_n(&graphs_exist, __ATOMIC_RELAXED);
}

typedef CUresult starter(gs_graph_call *real, CUgraphExec graph, CUstream stream, CUstream actual);

/* Charges what the graph allocates before it starts. */
static CUresult with_memory(starter *start, gs_graph_call *real, CUgraphExec graph, CUstream stream,
                            CUstream actual, struct gs_graph_need *need)
{
    uint64_t claimed[GS_GPUS];
    int full = gs_graph_claim(need, claimed);
    if (full >= 0)
        return gs_refuse(full);
    CUresult result = start(real, graph, stream, actual);
    gs_graph_settle_need(need, claimed, result == CUDA_SUCCESS);
    return result;
}

static CUresult upload(gs_graph_call *real, CUgraphExec graph, CUstream stream, CUstream actual)
{
    (void)actual;
    gs_enter();
    CUresult result = real(graph, stream);
    gs_leave();
    return result;
}

static struct gs_graph_need *need_of(CUgraphExec graph)
{
    struct gs_entry entry;
    return gs_ledger_find(GS_GRAPH, (uintptr_t)graph, &entry) ? entry.owner : NULL;
}

static CUresult run(starter *start, gs_graph_call *real, CUgraphExec graph, CUstream stream,
                    CUstream actual)
{
    struct gs_graph_need *need = graphs_with_memory() ? need_of(graph) : NULL;
    return need ? with_memory(start, real, graph, stream, actual, need)
                : start(real, graph, stream, actual);
}

static CUstream own(CUstream stream)
{
    return stream ? stream : CU_STREAM_PER_THREAD;
}

CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream)
{
    return run(gs_launch_graph, cuda()->cuGraphLaunch, graph, stream, stream);
}

CUresult cuGraphLaunch_ptsz(CUgraphExec graph, CUstream stream)
{
    return run(gs_launch_graph, cuda()->cuGraphLaunch_ptsz, graph, stream, own(stream));
}

CUresult cuGraphUpload(CUgraphExec graph, CUstream stream)
{
    return run(upload, cuda()->cuGraphUpload, graph, stream, stream);
}

CUresult cuGraphUpload_ptsz(CUgraphExec graph, CUstream stream)
{
    return run(upload, cuda()->cuGraphUpload_ptsz, graph, stream, own(stream));
}

CUresult cuGraphExecDestroy(CUgraphExec graph)
{
    struct gs_entry entry, old;
    if (!graphs_with_memory() || !gs_ledger_take(GS_GRAPH, (uintptr_t)graph, &entry))
        return cuda()->cuGraphExecDestroy(graph);
    CUresult result = cuda()->cuGraphExecDestroy(graph);
    if (result != CUDA_SUCCESS) {
        gs_ledger_put(&entry, &old);
        return result;
    }
    gs_graph_settle_need(entry.owner, (uint64_t[GS_GPUS]){0}, false);
    gs_unmovable_drop(GS_UNMOVABLE_GRAPH);
    free(entry.owner);
    return result;
}

static CUresult instantiated(CUresult result, const CUgraphExec *graph, struct gs_graph_need *need,
                             const uint64_t claimed[GS_GPUS])
{
    struct gs_entry old, entry = {.space = GS_GRAPH, .owner = need};
    gs_graph_settle_need(need, claimed, false);
    if (result != CUDA_SUCCESS) {
        free(need);
        return result;
    }
    entry.key = (uintptr_t)*graph;
    if (gs_ledger_put(&entry, &old))
        free(old.owner);
    else
        gs_unmovable_add(GS_UNMOVABLE_GRAPH);
    __atomic_store_n(&graphs_exist, true, __ATOMIC_RELAXED);
    return result;
}

/* The driver takes the memory at the first launch, or here with the upload flag. */
#define INSTANTIATE(flags, call)                                                            \
    do {                                                                                    \
        uint64_t claimed[GS_GPUS] = {0};                                                    \
        struct gs_graph_need *need = gs_graph_measure(graph);                               \
        if (!need)                                                                          \
            return call;                                                                    \
        bool upload = (flags) & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD;                         \
        int full = upload ? gs_graph_claim(need, claimed) : -1;                             \
        if (full >= 0)                                                                      \
            free(need);                                                                     \
        return full >= 0 ? gs_refuse(full) : instantiated(call, executable, need, claimed); \
    } while (0)

CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph graph, CUgraphNode *error, char *text,
                            size_t room)
{
    INSTANTIATE(0u, cuda()->cuGraphInstantiate(executable, graph, error, text, room));
}

CUresult cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, CUgraphNode *error,
                               char *text, size_t room)
{
    INSTANTIATE(0u, cuda()->cuGraphInstantiate_v2(executable, graph, error, text, room));
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph,
                                     unsigned long long flags)
{
    INSTANTIATE(flags, cuda()->cuGraphInstantiateWithFlags(executable, graph, flags));
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *executable, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS *how)
{
    INSTANTIATE(how->flags, cuda()->cuGraphInstantiateWithParams(executable, graph, how));
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *executable, CUgraph graph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *how)
{
    INSTANTIATE(how->flags, cuda()->cuGraphInstantiateWithParams_ptsz(executable, graph, how));
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
{
    gs_graph_gets_memory();
    return cuda()->cuGraphAddMemAllocNode(node, graph, after, count, parameters);
}

static void note_type(const CUgraphNodeParams *parameters)
{
    if (parameters && parameters->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        gs_graph_gets_memory();
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count,
                        CUgraphNodeParams *parameters)
{
    note_type(parameters);
    return cuda()->cuGraphAddNode(node, graph, after, count, parameters);
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                           const CUgraphEdgeData *edges, size_t count,
                           CUgraphNodeParams *parameters)
{
    note_type(parameters);
    return cuda()->cuGraphAddNode_v2(node, graph, after, edges, count, parameters);
}

void gs_graph_forget(void)
{
    graphs_exist = false;
}
