/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/memory/graph_memory.h"

#include <stdlib.h>

#include "charge/charge.h"
#include "charge/device.h"
#include "charge/growth.h"
#include "charge/pressure.h"
#include "share/attach.h"

/* The graph memory of a GPU in this process. */
struct graph_pool {
    struct gs_growth growth;
    CUdevice device;
    uint64_t trims; /* a trim frees the memory of every graph that is not running */
    bool used;
};

static struct graph_pool graph_pools[GS_GPUS];
static bool nodes_exist;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void gs_graph_gets_memory(void)
{
    __atomic_store_n(&nodes_exist, true, __ATOMIC_RELAXED);
}

static struct graph_pool *graph_pool_of(int gpu, CUdevice device)
{
    struct graph_pool *graph_pool = &graph_pools[gpu];
    pthread_mutex_lock(&lock);
    if (!graph_pool->used) {
        graph_pool->growth = gs_growth_new(gpu);
        graph_pool->device = device;
        graph_pool->trims = 1;
        __atomic_store_n(&graph_pool->used, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return graph_pool;
}

static uint64_t read(const struct graph_pool *graph_pool, CUgraphMem_attribute what,
                     uint64_t otherwise)
{
    cuuint64_t value = 0;
    CUresult result = cuda()->cuDeviceGetGraphMemAttribute(graph_pool->device, what, &value);
    return result == CUDA_SUCCESS ? value : otherwise;
}

static uint64_t reserved(const struct graph_pool *graph_pool)
{
    return read(graph_pool, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, graph_pool->growth.charged);
}

/* Forced, because a launch cannot be undone. Claims of other threads stay charged on top. */
static void settle(struct graph_pool *graph_pool, uint64_t claimed)
{
    pthread_mutex_lock(&graph_pool->growth.lock);
    gs_growth_settle_forced(&graph_pool->growth, reserved(graph_pool), claimed);
    pthread_mutex_unlock(&graph_pool->growth.lock);
}

static struct graph_pool *in_use(int gpu)
{
    return __atomic_load_n(&graph_pools[gpu].used, __ATOMIC_ACQUIRE) ? &graph_pools[gpu] : NULL;
}

void gs_graph_settle(int gpu)
{
    if (in_use(gpu))
        settle(&graph_pools[gpu], 0);
}

static void trimmed(int gpu)
{
    __atomic_add_fetch(&graph_pools[gpu].trims, 1, __ATOMIC_RELAXED);
    settle(&graph_pools[gpu], 0);
}

void gs_graph_trim(int gpu)
{
    if (in_use(gpu) && cuda()->cuDeviceGraphMemTrim(graph_pools[gpu].device) == CUDA_SUCCESS)
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

static bool add_nodes(struct gs_graph_need *need, CUgraph graph);

static bool add_node(struct gs_graph_need *need, CUgraphNode node)
{
    CUgraphNodeType type;
    CUgraph child;
    CUDA_MEM_ALLOC_NODE_PARAMS parameters;
    if (cuda()->cuGraphNodeGetType(node, &type) != CUDA_SUCCESS)
        return false;
    if (type == CU_GRAPH_NODE_TYPE_GRAPH)
        return cuda()->cuGraphChildGraphNodeGetGraph(node, &child) == CUDA_SUCCESS
               && add_nodes(need, child);
    if (type != CU_GRAPH_NODE_TYPE_MEM_ALLOC
        || cuda()->cuGraphMemAllocNodeGetParams(node, &parameters) != CUDA_SUCCESS)
        return false;
    int gpu = gs_gpu_at(&parameters.poolProps.location);
    if (gpu < 0)
        return false;
    need->bytes[gpu] += parameters.bytesize;
    need->device[gpu] = parameters.poolProps.location.id;
    return true;
}

static bool add_nodes(struct gs_graph_need *need, CUgraph graph)
{
    size_t count = 0;
    bool allocates = false;
    if (cuda()->cuGraphGetNodes(graph, NULL, &count) != CUDA_SUCCESS || count == 0)
        return false;
    CUgraphNode *nodes = malloc(count * sizeof(CUgraphNode));
    if (nodes && cuda()->cuGraphGetNodes(graph, nodes, &count) == CUDA_SUCCESS)
        for (size_t i = 0; i < count; i++)
            allocates |= add_node(need, nodes[i]);
    free(nodes);
    return allocates;
}

struct gs_graph_need *gs_graph_measure(CUgraph graph)
{
    if (!__atomic_load_n(&nodes_exist, __ATOMIC_RELAXED) || !gs_active())
        return NULL;
    struct gs_graph_need *need = calloc(1, sizeof *need);
    if (need && !add_nodes(need, graph)) {
        free(need);
        return NULL;
    }
    return need;
}

static uint64_t missing(const struct gs_graph_need *need, int gpu)
{
    struct graph_pool *graph_pool = graph_pool_of(gpu, need->device[gpu]);
    if (need->held_since[gpu] == __atomic_load_n(&graph_pool->trims, __ATOMIC_RELAXED))
        return 0;
    pthread_mutex_lock(&graph_pool->growth.lock);
    uint64_t used = read(graph_pool, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, 0);
    gs_growth_settle_forced(&graph_pool->growth, reserved(graph_pool), 0);
    uint64_t grown = gs_growth_estimate(&graph_pool->growth, need->bytes[gpu], used);
    pthread_mutex_unlock(&graph_pool->growth.lock);
    return grown;
}

static int claim(const struct gs_graph_need *need, uint64_t claimed[GS_GPUS])
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        claimed[gpu] = need->bytes[gpu] ? missing(need, gpu) : 0;
        if (gs_charge(GS_EXACT, gpu, claimed[gpu]))
            continue;
        while (gpu-- > 0)
            gs_uncharge(GS_EXACT, gpu, claimed[gpu]);
        return gpu + 1;
    }
    return -1;
}

void gs_graph_settle_need(struct gs_graph_need *need, const uint64_t claimed[GS_GPUS], bool holds)
{
    for (int gpu = 0; gpu < GS_GPUS; gpu++) {
        if (!need->bytes[gpu])
            continue;
        settle(graph_pool_of(gpu, need->device[gpu]), claimed[gpu]);
        if (holds)
            need->held_since[gpu] = __atomic_load_n(&graph_pools[gpu].trims, __ATOMIC_RELAXED);
    }
}

int gs_graph_claim(const struct gs_graph_need *need, uint64_t claimed[GS_GPUS])
{
    int full = claim(need, claimed);
    if (full < 0)
        return full;
    gs_reclaim(full);
    return claim(need, claimed);
}

void gs_graph_memory_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (int gpu = 0; gpu < GS_GPUS; gpu++)
        graph_pools[gpu] = (struct graph_pool){0};
    nodes_exist = false;
}
