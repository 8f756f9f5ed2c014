/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: built node by node and captured, with memory of their own. */
#include "machine.h"

static uint32_t word(CUdeviceptr at)
{
    uint32_t value;
    OK(cuMemcpyDtoH_v2(&value, at, 4));
    return value;
}

static uint64_t graph_memory(CUgraphMem_attribute which)
{
    uint64_t value;
    OK(cuDeviceGetGraphMemAttribute(0, which, &value));
    return value;
}

static void built_node_by_node(void)
{
    CUgraph graph;
    CUgraphNode set, fill;
    CUgraphExec exec;
    CUdeviceptr at;
    uint32_t value = 11;
    uint64_t words = 1;
    size_t count = 0;
    OK(cuMemAlloc_v2(&at, 64));
    OK(cuGraphCreate(&graph, 0));
    CUDA_MEMSET_NODE_PARAMS memset_params = {
        .dst = at, .value = 5, .elementSize = 4, .width = 16, .height = 1};
    OK(cuGraphAddMemsetNode(&set, graph, NULL, 0, &memset_params, *(CUcontext[]){begin()}));
    void *params[] = {&at, &value, &words};
    CUDA_KERNEL_NODE_PARAMS launch = {.func = kernel("gs_fill"),
                                      .gridDimX = 1,
                                      .gridDimY = 1,
                                      .gridDimZ = 1,
                                      .blockDimX = 32,
                                      .blockDimY = 1,
                                      .blockDimZ = 1,
                                      .kernelParams = params};
    OK(cuGraphAddKernelNode_v2(&fill, graph, &set, 1, &launch));
    OK(cuGraphGetNodes(graph, NULL, &count));
    EQUAL(count, 2);
    OK(cuGraphGetEdges(graph, NULL, NULL, &count));
    EQUAL(count, 1);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    value = 99; /* parameters were copied */
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word(at), 11);
    EQUAL(word(at + 4), 5);
    OK(cuGraphExecKernelNodeSetParams_v2(exec, fill, &launch));
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word(at), 99);
    OK(cuGraphNodeSetEnabled(exec, fill, 0));
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word(at), 5);
    OK(cuGraphAddDependencies(graph, &fill, &set, 1));
    CUgraphExec cyclic;
    EQUAL(cuGraphInstantiateWithFlags(&cyclic, graph, 0), CUDA_ERROR_INVALID_VALUE);
    OK(cuGraphExecDestroy(exec));
    EQUAL(cuGraphLaunch(exec, NULL), CUDA_ERROR_INVALID_VALUE);
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(at));
}

static void captured_with_a_fork(void)
{
    CUstream main_stream, side;
    CUevent fork, join;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr at;
    CUstreamCaptureStatus status;
    OK(cuMemAlloc_v2(&at, 64));
    OK(cuMemsetD32_v2(at, 1, 16));
    OK(cuStreamCreate(&main_stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&side, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    OK(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
    OK(cuStreamBeginCapture_v2(main_stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemsetD32Async(at, 7, 8, main_stream));
    OK(cuEventRecord(fork, main_stream));
    OK(cuStreamWaitEvent(side, fork, 0));
    OK(cuStreamIsCapturing(side, &status));
    EQUAL(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(cuMemsetD32Async(at + 32, 8, 8, side));
    OK(cuEventRecord(join, side));
    OK(cuStreamWaitEvent(main_stream, join, 0));
    OK(cuStreamEndCapture(main_stream, &graph));
    EQUAL(word(at), 1); /* nothing has run */
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, main_stream));
    OK(cuStreamSynchronize(main_stream));
    EQUAL(word(at), 7);
    EQUAL(word(at + 32), 8);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuStreamDestroy_v2(side));
    OK(cuStreamDestroy_v2(main_stream));
    OK(cuEventDestroy_v2(fork));
    OK(cuEventDestroy_v2(join));
    OK(cuMemFree_v2(at));
}

static void capture_refuses_unsafe_calls(void)
{
    CUstream stream;
    CUgraph graph = NULL;
    CUdeviceptr at;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    EQUAL(cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL),
          CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    EQUAL(cuMemAlloc_v2(&at, 100), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EQUAL(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    OK(cuMemAlloc_v2(&at, 100)); /* allowed in relaxed mode */
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    EQUAL(cuStreamSynchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EQUAL(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EQUAL(cuStreamEndCapture(stream, &graph), CUDA_ERROR_ILLEGAL_STATE);
    OK(cuMemFree_v2(at));
    OK(cuStreamDestroy_v2(stream));
}

static void graphs_own_memory(void)
{
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr at, out;
    uint64_t before;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc_v2(&out, 64));
    before = used(0);
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&at, 10 * MiB, stream));
    OK(cuMemsetD32Async(at, 1234, 16, stream));
    OK(cuMemcpyDtoDAsync_v2(out, at, 64, stream));
    OK(cuMemFreeAsync(at, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    EQUAL(used(0), before);
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    EQUAL(word(out), 1234);
    EQUAL(used(0) - before, 10 * MiB);
    EQUAL(graph_memory(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT), 10 * MiB);
    EQUAL(graph_memory(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT), 0);
    OK(cuGraphLaunch(exec, stream));
    EQUAL(used(0) - before, 10 * MiB); /* the launches share the memory */
    OK(cuDeviceGraphMemTrim(0));
    EQUAL(used(0), before);
    EQUAL(graph_memory(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH), 10 * MiB);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(out));
    OK(cuStreamDestroy_v2(stream));
}

static int called;
static void call(void *data)
{
    called += *(int *)data;
}

static void host_nodes_and_children(void)
{
    CUgraph inner, outer, clone;
    CUgraphNode node;
    CUgraphExec exec;
    int three = 3;
    CUDA_HOST_NODE_PARAMS host = {call, &three};
    OK(cuGraphCreate(&inner, 0));
    OK(cuGraphCreate(&outer, 0));
    OK(cuGraphAddHostNode(&node, inner, NULL, 0, &host));
    OK(cuGraphAddChildGraphNode(&node, outer, NULL, 0, inner));
    OK(cuGraphAddHostNode(&node, outer, &node, 1, &host));
    OK(cuGraphClone(&clone, outer));
    OK(cuGraphInstantiateWithFlags(&exec, clone, 0));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuCtxSynchronize());
    EQUAL(called, 6);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(clone));
    OK(cuGraphDestroy(outer));
    OK(cuGraphDestroy(inner));
}

static void destroy(void *counter)
{
    ++*(int *)counter;
}

static void user_objects_live_as_long_as_the_graph(void)
{
    CUgraph graph;
    CUuserObject object;
    int destroyed = 0;
    OK(cuGraphCreate(&graph, 0));
    OK(cuUserObjectCreate(&object, &destroyed, destroy, 2, 1));
    OK(cuGraphRetainUserObject(graph, object, 1, 1));
    OK(cuUserObjectRelease(object, 1));
    EQUAL(destroyed, 0);
    OK(cuGraphDestroy(graph));
    EQUAL(destroyed, 1);
    EQUAL(cuUserObjectRetain(object, 1), CUDA_ERROR_INVALID_VALUE);
}

int main(void)
{
    machine("gpus=1\n");
    begin();
    built_node_by_node();
    captured_with_a_fork();
    capture_refuses_unsafe_calls();
    graphs_own_memory();
    host_nodes_and_children();
    user_objects_live_as_long_as_the_graph();
    puts("ok: graphs");
    return 0;
}
