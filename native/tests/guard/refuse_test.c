/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspensions that are refused: `refuse_test SCENARIO`, as suspend_test; the program runs on
 * unchanged.
 */
#include "suspendable.h"

static void lacks_host_memory(void)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, 100 * MIB));
    write_pattern(at, 100 * MIB, 1);
    CHECK(suspend(0) == GS_FAILED_HOST_MEMORY);
    check_pattern(at, 100 * MIB, 1); /* it runs on */
    CHECK(resume() == GS_NO_FAILURE);
    OK(cuMemFree_v2(at));
    OK(cuMemAlloc_v2(&at, 20 * MIB));
    write_pattern(at, 20 * MIB, 2);
    CHECK(suspend(0) == GS_NO_FAILURE);
    CHECK(resume() == GS_NO_FAILURE);
    check_pattern(at, 20 * MIB, 2);
}

static void never_moves(void)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, 10 * MIB));
    write_pattern(at, 10 * MIB, 1);
    CHECK(suspend(0) == GS_FAILED_HOST_MEMORY);
    check_pattern(at, 10 * MIB, 1);
    CHECK(resume() == GS_NO_FAILURE);
}

static void refuses(uint32_t why)
{
    CHECK(word(&slot()->unmovable) == why);
    CHECK(suspend(0) == GS_FAILED_UNMOVABLE);
    CHECK(resume() == GS_NO_FAILURE);
}

static CUgraph graph_that_allocates(void)
{
    CUgraph graph;
    CUgraphNode node, freed;
    CUDA_MEM_ALLOC_NODE_PARAMS memory = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                       .location = {CU_MEM_LOCATION_TYPE_DEVICE,
                                                                    0}},
                                         .bytesize = 4 * MIB};
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &memory));
    OK(cuGraphAddMemFreeNode(&freed, graph, &node, 1, memory.dptr));
    return graph;
}

static void refuses_what_cannot_move(void)
{
    CUdeviceptr at, plain;
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR flat = {1024, 64, CU_AD_FORMAT_FLOAT, 1};
    CUmemGenericAllocationHandle handle;
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUipcMemHandle ticket;
    CUgraphExec exec;
    OK(cuMemAlloc_v2(&plain, 3 * MIB));
    write_pattern(plain, 3 * MIB, 4);
    suspend_and_resume();
    OK(cuMemAllocManaged(&at, 2 * MIB, CU_MEM_ATTACH_GLOBAL));
    refuses(GS_UNMOVABLE_MANAGED);
    OK(cuMemFree_v2(at));
    OK(cuMemAllocAsync(&at, 2 * MIB, NULL));
    refuses(GS_UNMOVABLE_POOL);
    OK(cuMemFreeAsync(at, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuArrayCreate_v2(&array, &flat));
    refuses(GS_UNMOVABLE_ARRAY);
    OK(cuArrayDestroy(array));
    OK(cuMemCreate(&handle, 2 * MIB, &properties, 0));
    refuses(GS_UNMOVABLE_MAPPED);
    OK(cuMemRelease(handle));
    OK(cuGraphInstantiateWithFlags(&exec, graph_that_allocates(), 0));
    OK(cuGraphLaunch(exec, NULL));
    refuses(GS_UNMOVABLE_GRAPH);
    OK(cuGraphExecDestroy(exec));
    OK(cuMemAlloc_v2(&at, 2 * MIB));
    OK(cuIpcGetMemHandle(&ticket, at));
    refuses(GS_UNMOVABLE_EXPORTED);
    OK(cuMemFree_v2(at));
    suspend_and_resume();
    check_pattern(plain, 3 * MIB, 4);
}

static const struct scenario scenarios[] = {
    {"lacks_host_memory", lacks_host_memory, false},
    {"never_moves", never_moves, false},
    {"refuses_what_cannot_move", refuses_what_cannot_move, false},
};

int main(int count, char **arguments)
{
    return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, count, arguments);
}
