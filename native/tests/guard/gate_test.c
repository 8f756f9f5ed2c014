/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with GPU work. Prints "ready", works until its standard input ends, then prints how
 * often.
 *
 *   work NS       kernels of NS in a row, a synchronisation after every eighth
 *   keep NS       as work, with memory of its own, so that a suspension has to wait for the work
 *   graph NS      the same as graphs of one kernel, a synchronisation after each
 *   serve NS US   one kernel of NS and a synchronisation, then a pause of US
 *   poll NS US    the same, but queries the stream instead of waiting
 *   stuck NS      one kernel, and no call to the driver after it
 *   again NS      as work, after the context was reset once
 *   order N       N rounds of additions, whose result shows a lost or reordered one
 *   streams NS N  kernels of NS in N streams, which wait for each other by events in a ring; each
 *                 stream is synchronised once per round
 */
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "gs_cuda.h"

/* A real GPU runs this code; the simulated one knows the kernels by name. */
#define INDEX                                                                                     \
    "mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %nctaid.x;\n" \
    "mad.lo.u32 %r1, %r2, %r3, %r1; mul.lo.u32 %r3, %r3, %r4;\n"                                  \
    "cvt.u64.u32 %i, %r1; cvt.u64.u32 %step, %r3;\n"
static const char kernels[] =
    "//\n.version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry spin(.param .u64 ns)\n{\n"
    ".reg .pred %more; .reg .u64 %limit, %start, %now;\n"
    "ld.param.u64 %limit, [ns]; mov.u64 %start, %globaltimer;\n"
    "again: mov.u64 %now, %globaltimer; sub.u64 %now, %now, %start;\n"
    "setp.lt.u64 %more, %now, %limit; @%more bra again;\nret;\n}\n"
    ".visible .entry gs_fill(.param .u64 at, .param .u32 value, .param .u64 words)\n{\n"
    ".reg .pred %end; .reg .u32 %r1, %r2, %r3, %r4, %v; .reg .u64 %to, %n, %i, %step, %p;\n"
    "ld.param.u64 %to, [at]; ld.param.u32 %v, [value]; ld.param.u64 %n, [words];\n" INDEX
    "more: setp.ge.u64 %end, %i, %n; @%end bra done;\n"
    "shl.b64 %p, %i, 2; add.u64 %p, %p, %to; st.global.u32 [%p], %v; "
    "add.u64 %i, %i, %step; bra more;\n"
    "done: ret;\n}\n"
    ".visible .entry gs_saxpy(.param .u64 y, .param .u64 x, .param .f32 a, .param .u64 n)\n{\n"
    ".reg .pred %end; .reg .u32 %r1, %r2, %r3, %r4; .reg .f32 %f1, %f2, %f3;\n"
    ".reg .u64 %to, %from, %n, %i, %step, %p, %q;\n"
    "ld.param.u64 %to, [y]; ld.param.u64 %from, [x]; ld.param.f32 %f3, [a]; "
    "ld.param.u64 %n, [n];\n" INDEX "more: setp.ge.u64 %end, %i, %n; @%end bra done;\n"
    "shl.b64 %q, %i, 2; add.u64 %p, %q, %to; add.u64 %q, %q, %from;\n"
    "ld.global.f32 %f1, [%p]; ld.global.f32 %f2, [%q]; fma.rn.f32 %f1, %f2, %f3, %f1;\n"
    "st.global.f32 [%p], %f1; add.u64 %i, %i, %step; bra more;\n"
    "done: ret;\n}\n";

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
    CHECK(cuLaunchKernel(function, blocks, 1, 1, 256, 1, 1, 0, stream, parameters, NULL)
          == CUDA_SUCCESS);
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

static long keep(unsigned long long ns)
{
    CUdeviceptr memory;
    CHECK(cuMemAlloc_v2(&memory, 1 << 20) == CUDA_SUCCESS);
    return work(ns);
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

static long serve(unsigned long long ns, long pause, int queries)
{
    long count = 0;
    for (; !ends(); count++) {
        spins(ns);
        while (queries && cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
            nap(50);
        if (!queries)
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

/* Each round sets x to a number and adds it to y; the sums are exact in floats. */
static long order(int rounds)
{
    CUdeviceptr x, y;
    unsigned long long n = 1024;
    unsigned one_bits = 0x3f800000, zero = 0;
    float factor = 1, host[1024], expected = 0;
    CHECK(cuMemAlloc_v2(&x, n * 4) == CUDA_SUCCESS && cuMemAlloc_v2(&y, n * 4) == CUDA_SUCCESS);
    launch(fill, 1, (void *[]){&y, &zero, &n});
    for (int round = 0; round < rounds; round++) {
        union {
            float number;
            unsigned bits;
        } value = {.number = (float)(round % 100)};
        launch(fill, 1, (void *[]){&x, round ? &value.bits : &one_bits, &n});
        launch(saxpy, 1, (void *[]){&y, &x, &factor, &n});
        expected += round ? value.number : 1;
    }
    CHECK(cuMemcpyDtoHAsync_v2(host, y, n * 4, stream) == CUDA_SUCCESS);
    synchronise();
    for (unsigned i = 0; i < n; i++)
        CHECK(host[i] == expected);
    return rounds;
}

enum { MOST_STREAMS = 256, PER_STREAM = 8, LEAST_ROUNDS = 8 };

/* Longer than the queue of a connection, so that streams wait behind each other in it. */
static void fill_ring(const CUstream *ring, const CUevent *done, int streams, unsigned long long ns)
{
    for (int i = 0; i < streams * PER_STREAM; i++) {
        int here = i % streams;
        stream = ring[here];
        if (i > 0)
            CHECK(cuStreamWaitEvent(stream, done[(here + streams - 1) % streams], 0)
                  == CUDA_SUCCESS);
        CHECK(cuLaunchKernel(spin, 1, 1, 1, 32, 1, 1, 0, stream, (void *[]){&ns}, NULL)
              == CUDA_SUCCESS);
        CHECK(cuEventRecord(done[here], stream) == CUDA_SUCCESS);
    }
}

static long many_streams(unsigned long long ns, int streams)
{
    static CUstream ring[MOST_STREAMS];
    static CUevent done[MOST_STREAMS];
    long rounds = 0;
    CHECK(streams > 0 && streams <= MOST_STREAMS);
    for (int i = 0; i < streams; i++)
        CHECK(cuStreamCreate(&ring[i], CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS
              && cuEventCreate(&done[i], CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS);
    do {
        fill_ring(ring, done, streams, ns);
        for (int i = streams; i-- > 0;)
            CHECK(cuStreamSynchronize(ring[i]) == CUDA_SUCCESS);
        rounds++;
    } while (rounds < LEAST_ROUNDS || !ends());
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
    else if (strcmp(kind, "keep") == 0)
        done = keep(ns);
    else if (strcmp(kind, "graph") == 0)
        done = graphs(ns);
    else if (strcmp(kind, "again") == 0)
        done = again(ns);
    else if (strcmp(kind, "order") == 0)
        done = order((int)ns);
    else if (strcmp(kind, "stuck") == 0)
        done = stuck(ns);
    else if (strcmp(kind, "streams") == 0)
        done = many_streams(ns, (int)pause);
    else
        done = serve(ns, pause, strcmp(kind, "poll") == 0);
    printf("%ld\n", done);
    return 0;
}
