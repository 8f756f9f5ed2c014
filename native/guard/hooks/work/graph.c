/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/work/graph.h"

#include <stdlib.h>

#include "charge/charge.h"
#include "charge/device.h"
#include "charge/growth.h"
#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "hooks/work/launch.h"
#include "share/region.h"

/* One GPU's graph memory in this process. */
struct ground {
    struct gs_account account;
    CUdevice device;
    uint64_t trims; /* a trim takes the memory of every graph that is not running */
    bool used;
};

/* What one executable graph allocates, and the trim count for which it last had that. */
struct need {
    uint64_t bytes[GS_GPUS];
    uint64_t held_since[GS_GPUS];
    CUdevice device[GS_GPUS];
};

static struct ground grounds[GS_GPUS];
static bool nodes_exist, graphs_exist;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void gs_graph_gets_memory(void)
{
    __atomic_store_n(&nodes_exist, true, __ATOMIC_RELAXED);
}

static bool graphs_with_memory(void)
{
    return __atomic_load_n(&graphs_exist, __ATOMIC_RELAXED);
}

static struct ground *ground_of(int gpu, CUdevice device)
{
    struct ground *ground = &grounds[gpu];
    pthread_mutex_lock(&lock);
    if (!ground->used) {
        ground->account = gs_account_new(gpu);
        ground->device = device;
        ground->trims = 1;
        __atomic_store_n(&ground->used, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return ground;
}

static uint64_t read(const struct ground *ground, CUgraphMem_attribute what, uint64_t otherwise)
{
    cuuint64_t value = 0;
    CUresult result = cuda()->cuDeviceGetGraphMemAttribute(ground->device, what, &value);
    return result == CUDA_SUCCESS ? value : otherwise;
}

static uint64_t reserved(const struct ground *ground)
{
    return read(ground, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, ground->account.charged);
}

/* Launches cannot be undone, so what they took is charged; in-flight claims of other threads stay on top. */
static void settle(struct ground *ground, uint64_t claimed)
{
    pthread_mutex_lock(&ground->account.lock);
    gs_account_force(&ground->account, reserved(ground), claimed);
    pthread_mutex_unlock(&ground->account.lock);
}

static struct ground *in_use(int gpu)
{
    return __atomic_load_n(&grounds[gpu].used, __ATOMIC_ACQUIRE) ? &grounds[gpu] : NULL;
}

void gs_graph_settle(int gpu)
{
    if (in_use(gpu))
        settle(&grounds[gpu], 0);
}

static void trimmed(int gpu)
{
    __atomic_add_fetch(&grounds[gpu].trims, 1, __ATOMIC_RELAXED);
    settle(&grounds[gpu], 0);
}

void gs_graph_trim(int gpu)
{
    if (in_use(gpu) && cuda()->cuDeviceGraphMemTrim(grounds[gpu].device) == CUDA_SUCCESS)
        trimmed(gpu);
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    CUresult result = cuda()->cuDeviceGraphMemTrim(device);
    int gpu = gs_gpu_of(device);
    if (result == CUDA_SUCCESS && gpu >= 0 && in_use(gpu))
        trimmed(gpu);
    return result;
}

static bool add_nodes(struct need *need, CUgraph graph);

static bool add_node(struct need *need, CUgraphNode node)
{
    CUgraphNodeType type;
    CUgraph child;
    CUDA_MEM_ALLOC_NODE_PARAMS parameters;
    if (cuda()->cuGraphNodeGetType(node, &type) != CUDA_SUCCESS)
        return false;
    if (type == CU_GRAPH_NODE_TYPE_GRAPH)
        return cuda()->cuGraphChildGraphNodeGetGraph(node, &child) == CUDA_SUCCESS && add_nodes(need, child);
    if (type != CU_GRAPH_NODE_TYPE_MEM_ALLOC ||
        cuda()->cuGraphMemAllocNodeGetParams(node, &parameters) != CUDA_SUCCESS)
        return false;
    int gpu = gs_gpu_at(&parameters.poolProps.location);
    if (gpu < 0)
        return false;
    need->bytes[gpu] += parameters.bytesize;
    need->device[gpu] = parameters.poolProps.location.id;
    return true;
}

static bool add_nodes(struct need *need, CUgraph graph)
{
    size_t count = 0;
    bool found = false;
    if (cuda()->cuGraphGetNodes(graph, NULL, &count) != CUDA_SUCCESS || count == 0)
        return false;
    CUgraphNode *nodes = malloc(count * sizeof(CUgraphNode));
    if (nodes && cuda()->cuGraphGetNodes(graph, nodes, &count) == CUDA_SUCCESS)
        for (size_t i = 0; i < count; i++)
            found |= add_node(need, nodes[i]);
    free(nodes);
    return found;
}

/* What a graph will need, or NULL when it allocates nothing on our GPUs. */
static struct need *measure(CUgraph graph)
{
    if (!__atomic_load_n(&nodes_exist, __ATOMIC_RELAXED) || !gs_active())
        return NULL;
    struct need *need = calloc(1, sizeof *need);
    if (need && !add_nodes(need, graph)) {
        free(need);
        return NULL;
    }
    return need;
}

static uint64_t missing(const struct need *need, int gpu)
{
    struct ground *ground = ground_of(gpu, need->device[gpu]);
    if (need->held_since[gpu] == __atomic_load_n(&ground->trims, __ATOMIC_RELAXED))
        return 0;
    pthread_mutex_lock(&ground->account.lock);
    uint64_t used = read(ground, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, 0);
    gs_account_force(&ground->account, reserved(ground), 0);
    uint64_t grown = gs_account_growth(&ground->account, need->bytes[gpu], used);
    pthread_mutex_unlock(&ground->account.lock);
    return grown;
}

/* Claims what a graph may add on every GPU; on failure nothing, and the GPU that is full. */
static int claim(const struct need *need, uint64_t claimed[GS_GPUS])
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        claimed[gpu] = need->bytes[gpu] ? missing(need, gpu) : 0;
        if (gs_take(GS_EXACT, gpu, claimed[gpu]))
            continue;
        while (gpu-- > 0)
            gs_give(GS_EXACT, gpu, claimed[gpu]);
        return gpu + 1;
    }
    return -1;
}

static void settle_all(struct need *need, const uint64_t claimed[GS_GPUS], bool holds)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        if (!need->bytes[gpu])
            continue;
        settle(ground_of(gpu, need->device[gpu]), claimed[gpu]);
        if (holds)
            need->held_since[gpu] = __atomic_load_n(&grounds[gpu].trims, __ATOMIC_RELAXED);
    }
}

static int claim_or_relieve(const struct need *need, uint64_t claimed[GS_GPUS])
{
    int full = claim(need, claimed);
    if (full < 0)
        return full;
    gs_relieve(full);
    return claim(need, claimed);
}

typedef CUresult starter(gs_graph_call *original, CUgraphExec graph, CUstream stream, CUstream actual);

/* What the graph allocates is claimed before it is started. */
static CUresult with_memory(starter *start, gs_graph_call *original, CUgraphExec graph, CUstream stream,
                            CUstream actual, struct need *need)
{
    uint64_t claimed[GS_GPUS];
    int full = claim_or_relieve(need, claimed);
    if (full >= 0)
        return gs_refuse(full);
    CUresult result = start(original, graph, stream, actual);
    settle_all(need, claimed, result == CUDA_SUCCESS);
    return result;
}

static CUresult upload(gs_graph_call *original, CUgraphExec graph, CUstream stream, CUstream actual)
{
    (void)actual;
    gs_enter();
    CUresult result = original(graph, stream);
    gs_leave();
    return result;
}

static struct need *need_of(CUgraphExec graph)
{
    struct gs_entry entry;
    return gs_ledger_find(GS_GRAPH, (uintptr_t)graph, &entry) ? entry.owner : NULL;
}

static CUresult run(starter *start, gs_graph_call *original, CUgraphExec graph, CUstream stream, CUstream actual)
{
    struct need *need = graphs_with_memory() ? need_of(graph) : NULL;
    return need ? with_memory(start, original, graph, stream, actual, need) : start(original, graph, stream, actual);
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
    settle_all(entry.owner, (uint64_t[GS_GPUS]){0}, false);
    gs_fixed_drop(GS_FIXED_GRAPH);
    free(entry.owner);
    return result;
}

static CUresult instantiated(CUresult result, const CUgraphExec *graph, struct need *need,
                             const uint64_t claimed[GS_GPUS])
{
    struct gs_entry old, entry = {.space = GS_GRAPH, .owner = need};
    settle_all(need, claimed, false);
    if (result != CUDA_SUCCESS) {
        free(need);
        return result;
    }
    entry.key = (uintptr_t)*graph;
    if (gs_ledger_put(&entry, &old))
        free(old.owner);
    else
        gs_fixed_add(GS_FIXED_GRAPH);
    __atomic_store_n(&graphs_exist, true, __ATOMIC_RELAXED);
    return result;
}

/* Memory is taken at the first launch; with the upload flag at once. */
#define INSTANTIATE(flags, call)                                                               \
    do {                                                                                       \
        uint64_t claimed[GS_GPUS] = {0};                                                       \
        struct need *need = measure(graph);                                                    \
        if (!need)                                                                             \
            return call;                                                                       \
        bool upload = (flags) & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD;                            \
        int full = upload ? claim_or_relieve(need, claimed) : -1;                              \
        if (full >= 0)                                                                         \
            free(need);                                                                        \
        return full >= 0 ? gs_refuse(full) : instantiated(call, executable, need, claimed);    \
    } while (0)

CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph graph, CUgraphNode *error, char *text, size_t room)
{
    INSTANTIATE(0u, cuda()->cuGraphInstantiate(executable, graph, error, text, room));
}

CUresult cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, CUgraphNode *error, char *text, size_t room)
{
    INSTANTIATE(0u, cuda()->cuGraphInstantiate_v2(executable, graph, error, text, room));
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags)
{
    INSTANTIATE(flags, cuda()->cuGraphInstantiateWithFlags(executable, graph, flags));
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *executable, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *how)
{
    INSTANTIATE(how->flags, cuda()->cuGraphInstantiateWithParams(executable, graph, how));
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *executable, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *how)
{
    INSTANTIATE(how->flags, cuda()->cuGraphInstantiateWithParams_ptsz(executable, graph, how));
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count,
                                CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
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

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, const CUgraphEdgeData *edges,
                           size_t count, CUgraphNodeParams *parameters)
{
    note_type(parameters);
    return cuda()->cuGraphAddNode_v2(node, graph, after, edges, count, parameters);
}

void gs_graph_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        grounds[gpu] = (struct ground){0};
    nodes_exist = graphs_exist = false;
}
