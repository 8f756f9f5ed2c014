/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant with work for the GPU. Prints "ready", then does it until its standard input ends, then prints how often.
 *
 *   work NS       kernels of NS in a row, a synchronisation after every eighth
 *   graph NS      the same as graphs of one kernel, a synchronisation after each
 *   serve NS US   one kernel of NS and a synchronisation, then a pause of US
 *   poll NS US    the same, but asks for the end instead of waiting for it
 *   stuck NS      one kernel and no call to the driver ever after
 *   again NS      as work, after the context was reset once
 *   order N       N rounds of additions whose result tells whether any was lost or done out of order
 */
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "gs_cuda.h"

static const char kernels[] =
    "//\n.version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry spin(.param .u64 ns)\n{ ret; }\n"
    ".visible .entry gs_fill(.param .u64 at, .param .u32 value, .param .u64 words)\n{ ret; }\n"
    ".visible .entry gs_saxpy(.param .u64 y, .param .u64 x, .param .f32 a, .param .u64 n)\n{ ret; }\n";

static CUfunction spin, fill, saxpy;
static CUstream stream;

static void start(void)
{
    CUcontext context;
    CUmodule module;
    CHECK(cuInit(0) == CUDA_SUCCESS);
    CHECK(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    CHECK(cuCtxSetCurrent(context) == CUDA_SUCCESS);
    CHECK(cuModuleLoadData(&module, kernels) == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&spin, module, "spin") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&fill, module, "gs_fill") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&saxpy, module, "gs_saxpy") == CUDA_SUCCESS);
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
}

static int ends(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static void launch(CUfunction function, unsigned blocks, void **parameters)
{
    CHECK(cuLaunchKernel(function, blocks, 1, 1, 256, 1, 1, 0, stream, parameters, NULL) == CUDA_SUCCESS);
}

static void spins(unsigned long long ns)
{
    launch(spin, 132 * 8, (void *[]){&ns});
}

static void synchronise(void)
{
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
}

static void nap(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static long work(unsigned long long ns)
{
    long count = 0;
    while (!ends()) {
        spins(ns);
        if (++count % 8 == 0)
            synchronise();
    }
    synchronise();
    return count;
}

static long graphs(unsigned long long ns)
{
    CUgraph graph;
    CUgraphExec executable;
    CHECK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) == CUDA_SUCCESS);
    spins(ns);
    CHECK(cuStreamEndCapture(stream, &graph) == CUDA_SUCCESS);
    CHECK(cuGraphInstantiateWithFlags(&executable, graph, 0) == CUDA_SUCCESS);
    long count = 0;
    for (; !ends(); count++) {
        CHECK(cuGraphLaunch(executable, stream) == CUDA_SUCCESS);
        synchronise();
    }
    return count;
}

static long serve(unsigned long long ns, long pause, int asks)
{
    long count = 0;
    for (; !ends(); count++) {
        spins(ns);
        while (asks && cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
            nap(50);
        if (!asks)
            synchronise();
        nap(pause);
    }
    return count;
}

static long stuck(unsigned long long ns)
{
    spins(ns);
    while (!ends())
        nap(1000);
    return 1;
}

static long again(unsigned long long ns)
{
    for (int i = 0; i < 8; i++)
        spins(ns);
    synchronise();
    CHECK(cuDevicePrimaryCtxReset_v2(0) == CUDA_SUCCESS);
    start();
    return work(ns);
}

/* y = (((1 + 2) * ... ) kept exact in floats: each round adds x, then sets x to the round's number. */
static long order(int rounds)
{
    CUdeviceptr x, y;
    unsigned long long n = 1024;
    unsigned one = 0x3f800000, zero = 0;
    float factor = 1, host[1024], wanted = 0;
    CHECK(cuMemAlloc_v2(&x, n * 4) == CUDA_SUCCESS && cuMemAlloc_v2(&y, n * 4) == CUDA_SUCCESS);
    launch(fill, 1, (void *[]){&y, &zero, &n});
    for (int round = 0; round < rounds; round++) {
        union { float number; unsigned bits; } value = {.number = (float)(round % 100)};
        launch(fill, 1, (void *[]){&x, round ? &value.bits : &one, &n});
        launch(saxpy, 1, (void *[]){&y, &x, &factor, &n});
        wanted += round ? value.number : 1;
    }
    CHECK(cuMemcpyDtoHAsync_v2(host, y, n * 4, stream) == CUDA_SUCCESS);
    synchronise();
    for (unsigned i = 0; i < n; i++)
        CHECK(host[i] == wanted);
    return rounds;
}

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    const char *kind = arguments[1];
    unsigned long long ns = strtoull(arguments[2], NULL, 10);
    long pause = count > 3 ? atol(arguments[3]) : 0, done;
    start();
    spins(1000);
    synchronise();
    CHECK(write(STDOUT_FILENO, "ready\n", 6) == 6);
    if (strcmp(kind, "work") == 0)
        done = work(ns);
    else if (strcmp(kind, "graph") == 0)
        done = graphs(ns);
    else if (strcmp(kind, "again") == 0)
        done = again(ns);
    else if (strcmp(kind, "order") == 0)
        done = order((int)ns);
    else if (strcmp(kind, "stuck") == 0)
        done = stuck(ns);
    else
        done = serve(ns, pause, strcmp(kind, "poll") == 0);
    printf("%ld\n", done);
    return 0;
}
