/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times driver calls; prints one line `name nanoseconds...` per call, one figure per repeat.
 * overhead REPEATS: build with gcc -I native/include, no toolkit needed.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gs_cuda.h"

#define CALLS(X)                                                                                      \
    X(cuInit) X(cuDeviceGet) X(cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent) X(cuModuleLoadData)       \
    X(cuModuleGetFunction) X(cuStreamCreate) X(cuStreamSynchronize) X(cuLaunchKernel) X(cuMemAlloc_v2) \
    X(cuMemFree_v2) X(cuMemAllocAsync) X(cuMemFreeAsync) X(cuGraphCreate) X(cuGraphAddKernelNode_v2)  \
    X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuMemGetInfo_v2)

#define X(symbol) static symbol##_fn *symbol##_p;
CALLS(X)
#undef X

static const char ptx[] = ".version 7.0\n.target sm_50\n.address_size 64\n.visible .entry empty() { ret; }\n";
static CUfunction empty;
static CUstream stream;
static CUgraphExec graph;

static void check(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    fprintf(stderr, "%s: CUDA error %d\n", what, result);
    exit(1);
}
#define DO(symbol, ...) check(symbol##_p(__VA_ARGS__), #symbol)

static void launch(void)
{
    DO(cuLaunchKernel, empty, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL);
}

static void launch_graph(void)
{
    DO(cuGraphLaunch, graph, stream);
}

static void alloc(size_t bytes)
{
    CUdeviceptr pointer;
    DO(cuMemAlloc_v2, &pointer, bytes);
    DO(cuMemFree_v2, pointer);
}

static void alloc_small(void) { alloc(256); }
static void alloc_page(void) { alloc(2 << 20); }
static void alloc_large(void) { alloc(16 << 20); }

static void alloc_async(void)
{
    CUdeviceptr pointer;
    DO(cuMemAllocAsync, &pointer, 2 << 20, stream);
    DO(cuMemFreeAsync, pointer, stream);
}

static void info(void)
{
    size_t free_bytes, total;
    DO(cuMemGetInfo_v2, &free_bytes, &total);
}

static void open_driver(void)
{
    CUdevice device;
    CUcontext context;
    CUmodule module;
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(7);
    }
#define X(symbol) symbol##_p = (symbol##_fn *)dlsym(library, #symbol);
    CALLS(X)
#undef X
    DO(cuInit, 0);
    DO(cuDeviceGet, &device, 0);
    DO(cuDevicePrimaryCtxRetain, &context, device);
    DO(cuCtxSetCurrent, context);
    DO(cuModuleLoadData, &module, ptx);
    DO(cuModuleGetFunction, &empty, module, "empty");
    DO(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
}

/* Twenty kernels in a row, about what one decoding step of a small model holds per layer. */
static void make_graph(void)
{
    CUgraph made;
    CUgraphNode node = NULL, before = NULL;
    CUDA_KERNEL_NODE_PARAMS kernel = {.func = empty, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1,
                                      .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1};
    DO(cuGraphCreate, &made, 0);
    for (int i = 0; i < 20; i++, before = node)
        DO(cuGraphAddKernelNode_v2, &node, made, before ? &before : NULL, before ? 1 : 0, &kernel);
    DO(cuGraphInstantiateWithFlags, &graph, made, 0);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Nanoseconds of one call: the median of many bursts, too short to fill the queue to the GPU. */
static double burst(void (*once)(void), int count)
{
    enum { BURSTS = 101 };
    double times[BURSTS];
    for (int i = 0; i < BURSTS; i++) {
        double start = now();
        for (int call = 0; call < count; call++)
            once();
        times[i] = (now() - start) / count;
        DO(cuStreamSynchronize, stream);
    }
    qsort(times, BURSTS, sizeof *times, ascending);
    return times[BURSTS / 2];
}

static void measure(const char *name, void (*once)(void), int count, int repeats)
{
    burst(once, count);
    fputs(name, stdout);
    for (int repeat = 0; repeat < repeats; repeat++)
        printf(" %.1f", burst(once, count));
    putchar('\n');
}

int main(int argc, char **argv)
{
    int repeats = argc > 1 ? atoi(argv[1]) : 5;
    open_driver();
    make_graph();
    measure("launch", launch, 200, repeats);
    measure("graph_launch_20", launch_graph, 20, repeats);
    measure("alloc_free_256B", alloc_small, 20, repeats);
    measure("alloc_free_2MiB", alloc_page, 20, repeats);
    measure("alloc_free_16MiB", alloc_large, 20, repeats);
    measure("alloc_async_free_2MiB", alloc_async, 100, repeats);
    measure("mem_get_info", info, 50, repeats);
    return 0;
}
