/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver with properties that the simulated machine does not have: cuGetProcAddress() returns
 * other pointers than the exported ones and a version that is newer than the guard knows, 32-bit
 * entry points work, it looks up its own functions with dlsym() while it is asked, on threads of its
 * own too, and physical memory is counted across processes in the file that FAKE_CUDA_COUNTER names.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include "gs_cuda.h"

#define TOTAL (16ull << 30)

struct counter {
    uint64_t used, peak;
};

static __thread CUcontext current;
static int retained;
static struct counter *counter;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAKE_CUDA_COUNTER");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && ftruncate(fd, sizeof *counter) == 0)
        counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    static struct counter own;
    if (!counter || counter == MAP_FAILED)
        counter = &own;
    if (fd >= 0)
        close(fd);
}

static void count(uint64_t bytes)
{
    uint64_t now = __atomic_add_fetch(&counter->used, bytes, __ATOMIC_SEQ_CST);
    uint64_t peak = __atomic_load_n(&counter->peak, __ATOMIC_SEQ_CST);
    while (now > peak && now < TOTAL
           && !__atomic_compare_exchange_n(&counter->peak, &peak, now, 0, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST))
        ;
}

CUresult cuInit(unsigned int flags)
{
    return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    memset(uuid->bytes, 0x11 * (device + 1), 16);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    __atomic_add_fetch(&retained, 1, __ATOMIC_SEQ_CST);
    *context = (CUcontext)(uintptr_t)(0x1000 + device);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    (void)device;
    __atomic_sub_fetch(&retained, 1, __ATOMIC_SEQ_CST);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags, int *active)
{
    (void)device;
    *flags = 0;
    *active = __atomic_load_n(&retained, __ATOMIC_SEQ_CST) > 0;
    return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context)
{
    current = context;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context)
{
    *context = current;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice *device)
{
    *device = (CUdevice)((uintptr_t)current - 0x1000);
    return current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}
CUresult cuDeviceTotalMem_v2(size_t *total, CUdevice device)
{
    (void)device;
    *total = TOTAL;
    return CUDA_SUCCESS;
}
CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    if (free)
        *free = TOTAL - counter->used;
    if (total)
        *total = TOTAL;
    return CUDA_SUCCESS;
}

static CUresult inner_alloc(CUdeviceptr *pointer, size_t bytes)
{
    if (!pointer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t *block = malloc(sizeof *block);
    *block = bytes;
    *pointer = (CUdeviceptr)(uintptr_t)block;
    count(bytes);
    return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    return inner_alloc(pointer, bytes);
}
CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    if (!pointer)
        return CUDA_ERROR_INVALID_VALUE;
    count(0 - *(uint64_t *)(uintptr_t)pointer);
    free((void *)(uintptr_t)pointer);
    return CUDA_SUCCESS;
}
/* The 32-bit ABI: a size of 32 bits and an address of 32 bits. */
CUresult cuMemAlloc(unsigned int *pointer, unsigned int bytes)
{
    *pointer = 0x10000u + bytes;
    count(bytes);
    return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v9(CUdeviceptr *pointer, size_t bytes)
{
    return inner_alloc(pointer, bytes);
}

/* As a stub does that loads the real driver. */
static void *look_up(void *name)
{
    void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return self ? dlsym(self, name) : NULL;
}

static void look_up_here_and_there(void)
{
    pthread_t thread;
    void *found = NULL;
    look_up("cuMemAlloc_v2");
    if (pthread_create(&thread, NULL, look_up, "cuMemFree_v2") == 0)
        pthread_join(thread, &found);
}

CUresult cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    if (status)
        *status = CU_GET_PROC_ADDRESS_SUCCESS;
    look_up_here_and_there();
    *function = NULL;
    if (strcmp(name, "cuMemAlloc") == 0)
        *function = version >= 99000  ? (void *)cuMemAlloc_v9
                    : version >= 3020 ? (void *)inner_alloc
                                      : (void *)cuMemAlloc;
    else if (strcmp(name, "cuInit") == 0)
        *function = (void *)cuInit;
    else if (strcmp(name, "cuGetProcAddress") == 0)
        *function = (void *)cuGetProcAddress_v2;
    else if (status)
        *status = flags == 77 ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                              : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
