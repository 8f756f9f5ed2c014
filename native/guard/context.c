/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <pthread.h>
#include <string.h>

#include "device.h"
#include "ledger.h"
#include "limit.h"
#include "region.h"
#include "relief.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_contexts[GS_GPUS];
static uint64_t paid[GS_GPUS];
static CUcontext primary[GS_GPUS];

static struct gs_entry context_entry(CUcontext context, int gpu, CUdevice device)
{
    return (struct gs_entry){.space = GS_CONTEXT, .key = (uintptr_t)context, .gpu = (int8_t)gpu,
                             .bytes = (uint64_t)device};
}

/* One more context; the first one pays. A context that exists already pays whatever the limit says. */
static bool enter(int gpu, bool exists)
{
    uint64_t price = gs_context_bytes(gpu);
    pthread_mutex_lock(&lock);
    bool first = open_contexts[gpu] == 0;
    bool entered = !first || (exists ? (gs_force(gpu, price), true) : gs_take(GS_EXACT, gpu, price));
    if (entered && first)
        paid[gpu] = price;
    open_contexts[gpu] += entered;
    pthread_mutex_unlock(&lock);
    return entered;
}

static bool dies_with_gpu(const struct gs_entry *entry, const void *gpu)
{
    return entry->gpu == *(const int *)gpu && !entry->pool &&
           (entry->space == GS_POINTER || entry->space == GS_ARRAY || entry->space == GS_MIPMAP);
}

static bool dies_with_context(const struct gs_entry *entry, const void *context)
{
    return entry->owner == context && !entry->pool &&
           (entry->space == GS_POINTER || entry->space == GS_ARRAY || entry->space == GS_MIPMAP);
}

static void release_entry(const struct gs_entry *entry)
{
    gs_give(GS_BLOCK, entry->gpu, entry->bytes);
}

static void leave(int gpu)
{
    pthread_mutex_lock(&lock);
    bool last = open_contexts[gpu] > 0 && --open_contexts[gpu] == 0;
    uint64_t refund = last ? paid[gpu] : 0;
    pthread_mutex_unlock(&lock);
    if (last) {
        gs_ledger_sweep(dies_with_gpu, &gpu, release_entry);
        gs_settle(gpu);
    }
    if (refund)
        gs_give(GS_EXACT, gpu, refund);
}

/* Records a context that enter() counted; a handle that was known counts once. */
static void remember(CUcontext context, int gpu, CUdevice device)
{
    struct gs_entry entry = context_entry(context, gpu, device), old;
    if (gs_ledger_put(&entry, &old))
        leave(old.gpu);
}

static void gone(CUcontext context)
{
    struct gs_entry entry;
    if (!gs_ledger_take(GS_CONTEXT, (uintptr_t)context, &entry))
        return;
    gs_ledger_sweep(dies_with_context, context, release_entry);
    leave(entry.gpu);
}

struct gs_place gs_place_current(void)
{
    struct gs_place place = {.gpu = -1};
    if (!gs_active() || cuda()->cuCtxGetCurrent(&place.context) != CUDA_SUCCESS || !place.context ||
        cuda()->cuCtxGetDevice(&place.device) != CUDA_SUCCESS)
        return place;
    place.gpu = gs_gpu_of(place.device);
    struct gs_entry known;
    if (place.gpu < 0) {
        gs_count_unlisted();
    } else if (!gs_ledger_find(GS_CONTEXT, (uintptr_t)place.context, &known)) {
        /* Made by a way that we do not see, such as a green context's own or an export table. */
        enter(place.gpu, true);
        remember(place.context, place.gpu, place.device);
    }
    return place;
}

struct gs_place gs_place_of_stream(CUstream stream)
{
    CUcontext context;
    struct gs_entry known;
    bool named = stream && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD;
    if (named && gs_active() && cuda()->cuStreamGetCtx(stream, &context) == CUDA_SUCCESS &&
        gs_ledger_find(GS_CONTEXT, (uintptr_t)context, &known))
        return (struct gs_place){.gpu = known.gpu, .context = context, .device = (CUdevice)known.bytes};
    return gs_place_current();
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    int gpu = gs_gpu_of(device);
    if (gpu < 0)
        return cuda()->cuDevicePrimaryCtxRetain(context, device);
    if (!enter(gpu, false))
        return gs_refuse(gpu);
    CUresult result = cuda()->cuDevicePrimaryCtxRetain(context, device);
    if (result != CUDA_SUCCESS) {
        leave(gpu);
        return result;
    }
    primary[gpu] = *context;
    remember(*context, gpu, device);
    return result;
}

static CUresult primary_released(CUresult result, CUdevice device)
{
    int gpu = gs_gpu_of(device), active = 1;
    unsigned int flags;
    if (result == CUDA_SUCCESS && gpu >= 0 && primary[gpu] &&
        cuda()->cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && !active)
        gone(primary[gpu]);
    return result;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    return primary_released(cuda()->cuDevicePrimaryCtxRelease(device), device);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    return primary_released(cuda()->cuDevicePrimaryCtxRelease_v2(device), device);
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    return primary_released(cuda()->cuDevicePrimaryCtxReset(device), device);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    return primary_released(cuda()->cuDevicePrimaryCtxReset_v2(device), device);
}

/* Runs a creating call: paid for before, recorded after. */
#define CREATE(handle, device, call)                              \
    do {                                                          \
        int gpu = gs_gpu_of(device);                              \
        if (gpu >= 0 && !enter(gpu, false))                       \
            return gs_refuse(gpu);                                \
        CUresult result = call;                                   \
        if (gpu >= 0 && result == CUDA_SUCCESS)                   \
            remember((CUcontext)*(handle), gpu, device);          \
        else if (gpu >= 0)                                        \
            leave(gpu);                                           \
        return result;                                            \
    } while (0)

CUresult cuCtxCreate(CUcontext *context, unsigned int flags, CUdevice device)
{
    CREATE(context, device, cuda()->cuCtxCreate(context, flags, device));
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned int flags, CUdevice device)
{
    CREATE(context, device, cuda()->cuCtxCreate_v2(context, flags, device));
}

CUresult cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *affinity, int count, unsigned int flags,
                        CUdevice device)
{
    CREATE(context, device, cuda()->cuCtxCreate_v3(context, affinity, count, flags, device));
}

CUresult cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *parameters, unsigned int flags, CUdevice device)
{
    CREATE(context, device, cuda()->cuCtxCreate_v4(context, parameters, flags, device));
}

CUresult cuGreenCtxCreate(CUgreenCtx *context, CUdevResourceDesc resource, CUdevice device, unsigned int flags)
{
    CREATE(context, device, cuda()->cuGreenCtxCreate(context, resource, device, flags));
}

static CUresult destroyed(CUresult result, void *context)
{
    if (result == CUDA_SUCCESS)
        gone(context);
    return result;
}

CUresult cuCtxDestroy(CUcontext context)
{
    return destroyed(cuda()->cuCtxDestroy(context), context);
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
    return destroyed(cuda()->cuCtxDestroy_v2(context), context);
}

CUresult cuGreenCtxDestroy(CUgreenCtx context)
{
    return destroyed(cuda()->cuGreenCtxDestroy(context), context);
}

void gs_context_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(open_contexts, 0, sizeof open_contexts);
    memset(primary, 0, sizeof primary);
}
