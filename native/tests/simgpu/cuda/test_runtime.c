/* SPDX-License-Identifier: Apache-2.0 */
/* What the CUDA runtime asks of a driver beyond cuda.h. The runtime itself is in the system tier. */
#include "machine.h"

#include <unistd.h>

typedef CUresult get_context(CUcontext *, CUdevice);
typedef CUresult put_value(CUcontext, void *, void *, void (*)(CUcontext, void *, void *));
typedef CUresult get_value(void **, CUcontext, void *);
typedef CUresult prove(uint32_t, uint64_t, uint64_t[2]);

static const CUuuid CUDART = {"\x6b\xd5\xfb\x6c\x5b\xf4\xe7\x4a\x89\x87\xd9\x39\x12\xfd\x9d\xf9"};
static const CUuuid VALUES = {"\xc6\x93\x33\x6e\x11\x21\xdf\x11\xa8\xc3\x68\xf3\x55\xd8\x95\x93"};
static const CUuuid PROOF = {"\xd4\x08\x20\x55\xbd\xe6\x70\x4b\x8d\x34\xba\x12\x3c\x66\xe1\xf2"};
static const CUuuid IDENTITY = {"\x21\x31\x8c\x60\x97\x14\x32\x48\x8c\xa6\x41\xff\x73\x24\xc8\xf2"};
static const CUuuid OTHER = {"\xf8\xcf\xf9\x51\x21\x46\x8b\x4e\xb9\xe2\xfb\x46\x9e\x7c\x0d\xd9"};

static uint64_t idle; /* bytes in use without a context */

static void *const *table(const CUuuid *id)
{
    const void *entries;
    OK(cuGetExportTable(&entries, id));
    return entries;
}

static void unknown_tables_are_not_found(void)
{
    const void *entries = &entries;
    EQUAL(cuGetExportTable(&entries, &OTHER), CUDA_ERROR_NOT_FOUND);
    ASSERT(entries == NULL);
    EQUAL(cuGetExportTable(NULL, &OTHER), CUDA_ERROR_INVALID_VALUE);
}

static void tables_begin_with_their_size(void)
{
    EQUAL((uintptr_t)table(&CUDART)[0], 13 * sizeof(void *));
    EQUAL((uintptr_t)table(&PROOF)[0], 3 * sizeof(void *));
}

static void entries_of_unknown_purpose_refuse(void)
{
    EQUAL(((CUresult (*)(void))table(&CUDART)[9])(), CUDA_ERROR_NOT_SUPPORTED);
    EQUAL(((CUresult (*)(void))table(&IDENTITY)[94])(), CUDA_ERROR_NOT_SUPPORTED);
}

/* The runtime asks for the contexts of all devices when it starts; only those it uses are open. */
static void the_runtimes_context_opens_when_it_becomes_current(void)
{
    CUcontext ctx, current;
    int active;
    CUdevice device = -1;
    OK(((get_context *)table(&CUDART)[2])(&ctx, 0));
    EQUAL(used(0), idle);
    OK(cuCtxSetCurrent(ctx));
    ASSERT(used(0) > idle);
    OK(cuCtxGetCurrent(&current));
    ASSERT(current == ctx);
    OK(((CUresult (*)(CUcontext, CUdevice *))table(&IDENTITY)[3])(ctx, &device));
    EQUAL(device, 0);
    OK(cuDevicePrimaryCtxGetState(0, &(unsigned int){0}, &active));
    EQUAL(active, 1);
    EQUAL(((get_context *)table(&CUDART)[2])(&ctx, 99), CUDA_ERROR_INVALID_DEVICE);
}

/* A library that retains and releases the primary context does not take it from the runtime. */
static void the_runtimes_context_outlives_other_users(void)
{
    CUcontext ctx, again;
    int active;
    OK(((get_context *)table(&CUDART)[2])(&ctx, 0));
    OK(cuDevicePrimaryCtxRetain(&again, 0));
    ASSERT(again == ctx);
    OK(cuDevicePrimaryCtxRelease_v2(0));
    OK(cuDevicePrimaryCtxGetState(0, &(unsigned int){0}, &active));
    EQUAL(active, 1);
}

static int destroyed;

static void destroy(CUcontext ctx, void *key, void *value)
{
    CUcontext current;
    (void)ctx, (void)key;
    destroyed += (int)(intptr_t)value;
    OK(cuCtxGetCurrent(&current)); /* it may call the driver */
}

static void values_belong_to_a_context_and_end_with_it(void)
{
    void *value = NULL;
    CUcontext ctx;
    int keys[2];
    put_value *put = (put_value *)table(&VALUES)[0];
    CUresult (*drop)(CUcontext, void *) = (CUresult (*)(CUcontext, void *))table(&VALUES)[1];
    get_value *get = (get_value *)table(&VALUES)[2];
    OK(((get_context *)table(&CUDART)[2])(&ctx, 0));
    OK(put(NULL, &keys[0], (void *)1, destroy));
    OK(put(ctx, &keys[0], (void *)2, destroy)); /* replaces it */
    OK(put(ctx, &keys[1], (void *)4, NULL));
    OK(get(&value, NULL, &keys[0]));
    EQUAL((intptr_t)value, 2);
    OK(drop(ctx, &keys[1]));
    EQUAL(get(&value, ctx, &keys[1]), CUDA_ERROR_INVALID_HANDLE);
    EQUAL(get(&value, (CUcontext)keys, &keys[0]), CUDA_ERROR_INVALID_CONTEXT);
    OK(cuDevicePrimaryCtxReset_v2(0));
    EQUAL(destroyed, 2);
    EQUAL(get(&value, ctx, &keys[0]), CUDA_ERROR_INVALID_HANDLE);
}

static void a_reset_context_opens_again(void)
{
    CUcontext ctx;
    EQUAL(used(0), idle);
    OK(((get_context *)table(&CUDART)[2])(&ctx, 0));
    OK(cuCtxSetCurrent(ctx));
    ASSERT(used(0) > idle);
    OK(cuDevicePrimaryCtxReset_v2(0));
    OK(cuDevicePrimaryCtxRelease_v2(0)); /* of a closed context: nothing is freed twice */
    EQUAL(used(0), idle);
}

/* The value itself is checked by real runtimes, which end if it is wrong. */
static void the_proof_depends_on_what_it_signs(void)
{
    uint64_t first[2], same[2], later[2], version[2];
    prove *sign = (prove *)table(&PROOF)[1];
    OK(sign(13002, 1000, first));
    OK(sign(13002, 1000, same));
    OK(sign(13002, 1001, later));
    OK(sign(12082, 1000, version));
    ASSERT(memcmp(first, same, sizeof first) == 0);
    ASSERT(memcmp(first, later, sizeof first) != 0);
    ASSERT(memcmp(first, version, sizeof first) != 0);
    OK(sign(13000, 1000, first));
    OK(sign(12080, 1001, later));
    ASSERT(memcmp(first, later, sizeof first) == 0); /* this version is a constant */
    EQUAL(sign(13002, 1000, NULL), CUDA_ERROR_INVALID_VALUE);
}

/* Modules of libraries, as the runtimes 12 use them. */
static void a_librarys_module_has_its_kernels(void)
{
    CUlibrary library;
    CUmodule module;
    CUfunction function;
    begin();
    OK(cuLibraryLoadData(&library, kernels, NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetModule(&module, library));
    OK(cuModuleGetFunction(&function, module, "gs_fill"));
    EQUAL(cuModuleGetFunction(&function, module, "no_such"), CUDA_ERROR_NOT_FOUND);
    OK(cuLibraryUnload(library));
}

static void clusters_fill_the_gpu(void)
{
    int clusters, blocks;
    CUlaunchAttribute size = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                              .value.clusterDim = {2, 2, 1}};
    CUlaunchConfig config = {
        .blockDimX = 1024, .blockDimY = 1, .blockDimZ = 1, .attrs = &size, .numAttrs = 1};
    CUfunction function = kernel("spin");
    OK(cuOccupancyMaxActiveClusters(&clusters, function, &config));
    ASSERT(clusters > 0);
    config.numAttrs = 0;
    OK(cuOccupancyMaxActiveClusters(&blocks, function, &config));
    EQUAL(blocks / 4, clusters);
    OK(cuOccupancyMaxPotentialClusterSize(&blocks, function, &config));
    EQUAL(blocks, 8);
    config.numAttrs = 1;
    size.value.clusterDim.x = 64;
    EQUAL(cuOccupancyMaxActiveClusters(&clusters, function, &config),
          CUDA_ERROR_INVALID_CLUSTER_SIZE);
}

int main(void)
{
    machine("gpus=2\n");
    OK(cuInit(0));
    idle = used(0);
    unknown_tables_are_not_found();
    tables_begin_with_their_size();
    entries_of_unknown_purpose_refuse();
    the_runtimes_context_opens_when_it_becomes_current();
    the_runtimes_context_outlives_other_users();
    values_belong_to_a_context_and_end_with_it();
    a_reset_context_opens_again();
    the_proof_depends_on_what_it_signs();
    a_librarys_module_has_its_kernels();
    clusters_fill_the_gpu();
    puts("ok: what the CUDA runtime asks");
    return 0;
}
