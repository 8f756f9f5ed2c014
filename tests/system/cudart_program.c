/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program as nvcc would build it, linked with a CUDA runtime: registers a kernel, launches it,
 * and says what it saw. The declarations are its own, because the runtime's packages have no
 * compiler; the numbers are those of CUDA's documentation.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dim3 {
    unsigned int x, y, z;
} dim3;
enum { TO_HOST = 2, OUT_OF_MEMORY = 2, MULTIPROCESSORS = 16 };

int cudaGetDeviceCount(int *);
int cudaDeviceGetAttribute(int *, int, int);
int cudaDeviceGetPCIBusId(char *, int, int);
int cudaMemGetInfo(size_t *, size_t *);
int cudaMalloc(void **, size_t);
int cudaMallocAsync(void **, size_t, void *);
int cudaFreeAsync(void *, void *);
int cudaFree(void *);
int cudaMemcpy(void *, const void *, size_t, int);
int cudaMemcpyToSymbol(const void *, const void *, size_t, size_t, int);
int cudaMemcpyFromSymbol(void *, const void *, size_t, size_t, int);
int cudaStreamCreate(void **);
int cudaStreamSynchronize(void *);
int cudaEventCreate(void **);
int cudaEventRecord(void *, void *);
int cudaEventElapsedTime(float *, void *, void *);
int cudaLaunchKernel(const void *, dim3, dim3, void **, size_t, void *);
int cudaGetLastError(void);
int cudaDeviceReset(void);
const char *cudaGetErrorString(int);
void **__cudaRegisterFatBinary(void *);
void __cudaRegisterFatBinaryEnd(void **);
void __cudaRegisterFunction(void **, const char *, char *, const char *, int, void *, void *, void *,
                            void *, int *);
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int);
void __cudaUnregisterFatBinary(void **);

#define OK(call)                                                                     \
    do {                                                                             \
        int result = (call);                                                         \
        if (result) {                                                                \
            fprintf(stderr, "%s: %d %s\n", #call, result, cudaGetErrorString(result)); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                          ".global .align 4 .b8 counter[16];\n"
                          ".visible .entry gs_fill(.param .u64 a, .param .u32 b, .param .u64 c)\n"
                          "{ ret; }\n";

/* A fat binary: a header, and one entry with PTX text. */
static struct image {
    uint32_t magic;
    uint16_t version, header;
    uint64_t size;
    uint16_t kind, entry_version;
    uint32_t entry_header;
    uint64_t payload_size;
    uint32_t compressed, unused[2], architecture, bits, more;
    uint64_t flags, reserved, plain_size;
    char payload[512];
} image = {0xba55ed50u, 1, 16, 64 + 512, 1, 0x101, 64, 512, 0, {0}, 70, 64, 0, 1, 0, 0, {0}};
static struct wrapper {
    uint32_t magic, version;
    void *data, *more;
} wrapper = {0x466243b1u, 1, &image, NULL};
static char kernel, counter[16]; /* the host's side of the kernel and of its variable */

static void **register_code(void)
{
    memcpy(image.payload, ptx, sizeof ptx);
    void **code = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(code, &kernel, "gs_fill", "gs_fill", -1, NULL, NULL, NULL, NULL, NULL);
    __cudaRegisterVar(code, counter, "counter", "counter", 0, sizeof counter, 0, 0);
    __cudaRegisterFatBinaryEnd(code);
    return code;
}

static void launch(void *at, void *stream)
{
    uint32_t value = 7, back[256];
    uint64_t words = 256;
    void *parameters[] = {&at, &value, &words};
    OK(cudaLaunchKernel(&kernel, (dim3){1, 1, 1}, (dim3){256, 1, 1}, parameters, 0, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(back, at, sizeof back, TO_HOST));
    printf("kernel wrote %u\n", back[255]);
}

static void use_symbol(void)
{
    char back[16] = "";
    OK(cudaMemcpyToSymbol(counter, "a variable", 11, 0, 1));
    OK(cudaMemcpyFromSymbol(back, counter, 11, 0, TO_HOST));
    printf("symbol holds %s\n", back);
}

static void use_memory(void *stream)
{
    void *block;
    size_t available, total;
    OK(cudaMalloc(&block, 64 << 20));
    launch(block, stream);
    OK(cudaFree(block));
    OK(cudaMallocAsync(&block, 4 << 20, stream));
    launch(block, stream);
    OK(cudaFreeAsync(block, stream));
    OK(cudaMemGetInfo(&available, &total));
    printf("total %zu\n", total);
    printf("too much %d\n", cudaMalloc(&block, total) == OUT_OF_MEMORY);
    cudaGetLastError();
}

int main(void)
{
    int devices, processors;
    char bus[32];
    void *stream, *first, *last;
    float milliseconds;
    void **code = register_code();
    OK(cudaGetDeviceCount(&devices));
    OK(cudaDeviceGetAttribute(&processors, MULTIPROCESSORS, 0));
    OK(cudaDeviceGetPCIBusId(bus, sizeof bus, 0));
    printf("devices %d\nprocessors %d\nbus %s\n", devices, processors, bus);
    OK(cudaStreamCreate(&stream));
    OK(cudaEventCreate(&first));
    OK(cudaEventCreate(&last));
    OK(cudaEventRecord(first, stream));
    use_memory(stream);
    use_symbol();
    OK(cudaEventRecord(last, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaEventElapsedTime(&milliseconds, first, last));
    printf("events in order %d\n", milliseconds > 0);
    __cudaUnregisterFatBinary(code);
    OK(cudaDeviceReset());
    return 0;
}
