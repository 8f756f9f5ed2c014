/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: charged before they are created; with a context its allocations end. */
#include "hooks/setup/context.h"

#include <pthread.h>
#include <string.h>

#include "charge/charge.h"
#include "charge/device.h"
#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "schedule/gate.h"
#include "schedule/timing/channel_group.h"
#include "share/attach.h"
#include "swap/blocks/heap.h"
#include "swap/suspend/suspend_thread.h"

enum { CONTEXTS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_contexts[GS_GPUS];
static CUcontext primary[GS_GPUS];

static void count_context(int gpu)
{
    pthread_mutex_lock(&lock);
    open_contexts[gpu]++;
    pthread_mutex_unlock(&lock);
}

static bool any_open(int gpu)
{
    pthread_mutex_lock(&lock);
    bool open = open_contexts[gpu] > 0;
    pthread_mutex_unlock(&lock);
    return open;
}

/* Each context is charged: on driver 580 the second of a process costs what the first does. */
static bool enter(int gpu, uint64_t price)
{
    bool entered = gs_charge(GS_EXACT, gpu, price);
    if (entered)
        count_context(gpu);
    return entered;
}

static bool lives_in_context(const struct gs_entry *entry)
{
    return !entry->pool
           && (entry->space == GS_POINTER || entry->space == GS_ARRAY || entry->space == GS_MIPMAP
               || entry->space == GS_MODULE || entry->space == GS_LIBRARY
               || entry->space == GS_DEVICE_HEAP);
}

static bool dies_with_gpu(const struct gs_entry *entry, const void *gpu)
{
    return lives_in_context(entry) && entry->gpu == *(const int *)gpu;
}

static bool dies_with_context(const struct gs_entry *entry, const void *context)
{
    return lives_in_context(entry) && entry->owner == context;
}

static void release_entry(const struct gs_entry *entry)
{
    gs_unmovable_drop(entry->unmovable);
    gs_uncharge(GS_BLOCK, entry->gpu, entry->bytes);
}

static void leave(int gpu, uint64_t price)
{
    pthread_mutex_lock(&lock);
    bool last = open_contexts[gpu] > 0 && --open_contexts[gpu] == 0;
    pthread_mutex_unlock(&lock);
    if (last) {
        gs_ledger_sweep(dies_with_gpu, &gpu, release_entry);
        gs_heap_ended(gpu, NULL);
        gs_suspend_thread_lost_context();
        gs_settle(gpu);
    }
    gs_uncharge(GS_EXACT, gpu, price);
}

/*
 * Records a context that is charged and counted; a handle that is recorded already counts once.
 * `place->context` is what can be made current: NULL for a green context.
 */
static void remember(CUcontext context, const struct gs_place *place, uint64_t price)
{
    struct gs_entry old, entry = {.space = GS_CONTEXT,
                                  .key = (uintptr_t)context,
                                  .gpu = (int8_t)place->gpu,
                                  .bytes = price,
                                  .owner = place->context,
                                  .pool = (void *)(intptr_t)place->device};
    if (gs_ledger_put(&entry, &old))
        leave(old.gpu, old.bytes);
    gs_suspend_thread_start();
}

static void context_ended(void *context, bool with_its_memory)
{
    struct gs_entry entry;
    if (!gs_ledger_take(GS_CONTEXT, (uintptr_t)context, &entry))
        return;
    if (with_its_memory) {
        gs_ledger_sweep(dies_with_context, context, release_entry);
        gs_heap_ended(entry.gpu, context);
    }
    leave(entry.gpu, entry.bytes);
}

struct gs_place gs_place_current(void)
{
    struct gs_place place = {.gpu = -1};
    if (!gs_active() || cuda()->cuCtxGetCurrent(&place.context) != CUDA_SUCCESS || !place.context
        || cuda()->cuCtxGetDevice(&place.device) != CUDA_SUCCESS)
        return place;
    place.gpu = gs_gpu_taken(place.device);
    struct gs_entry entry;
    if (place.gpu >= 0 && !gs_ledger_find(GS_CONTEXT, (uintptr_t)place.context, &entry)) {
        /* Created without a call that is interposed: by a green context or an export table. */
        uint64_t price = any_open(place.gpu) ? 0 : gs_context_bytes(place.gpu);
        gs_charge_forced(place.gpu, price);
        count_context(place.gpu);
        remember(place.context, &place, price);
    }
    return place;
}

struct gs_place gs_place_of_stream(CUstream stream)
{
    CUcontext context;
    struct gs_entry entry;
    bool named = stream && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD;
    if (named && gs_active() && cuda()->cuStreamGetCtx(stream, &context) == CUDA_SUCCESS
        && gs_ledger_find(GS_CONTEXT, (uintptr_t)context, &entry))
        return (struct gs_place){.gpu = entry.gpu,
                                 .context = context,
                                 .device = (CUdevice)(intptr_t)entry.pool};
    return gs_place_current();
}

struct contexts {
    CUcontext context[CONTEXTS];
    int count;
};

static bool collect(const struct gs_entry *entry, void *into)
{
    struct contexts *contexts = into;
    if (entry->space == GS_CONTEXT && entry->owner)
        contexts->context[contexts->count++] = entry->owner;
    return contexts->count == CONTEXTS;
}

void gs_contexts_wait(void)
{
    struct contexts contexts = {.count = 0};
    CUcontext current = NULL;
    gs_suspend_thread_pause(); /* as long as it is paused, no context ends */
    gs_ledger_search(collect, &contexts);
    cuda()->cuCtxGetCurrent(&current);
    for (int i = 0; i < contexts.count; i++)
        if (cuda()->cuCtxSetCurrent(contexts.context[i]) == CUDA_SUCCESS)
            cuda()->cuCtxSynchronize();
    cuda()->cuCtxSetCurrent(current);
    gs_suspend_thread_continue();
}

static bool primary_recorded(int gpu)
{
    struct gs_entry entry;
    return primary[gpu] && gs_ledger_find(GS_CONTEXT, (uintptr_t)primary[gpu], &entry);
}

/* Contexts end only while the process may use the GPU, and while the suspend thread uses none. */
#define OUTSIDE_TRANSFERS(act)        \
    GS_INSIDE(({                      \
        gs_suspend_thread_pause();    \
        CUresult end = act;           \
        gs_suspend_thread_continue(); \
        end;                          \
    }))

static CUresult retain(CUcontext *context, CUdevice device)
{
    struct gs_place place = {.gpu = gs_gpu_taken(device), .device = device};
    if (place.gpu < 0 || primary_recorded(place.gpu))
        return cuda()->cuDevicePrimaryCtxRetain(context, device);
    uint64_t price = gs_context_bytes(place.gpu);
    if (!enter(place.gpu, price))
        return gs_refuse(place.gpu);
    gs_channel_groups_begin(place.gpu);
    CUresult result = cuda()->cuDevicePrimaryCtxRetain(context, device);
    gs_channel_groups_end();
    if (result != CUDA_SUCCESS) {
        leave(place.gpu, price);
        return result;
    }
    primary[place.gpu] = place.context = *context;
    remember(*context, &place, price);
    return result;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    return GS_INSIDE(retain(context, device));
}

static CUresult primary_released(CUresult result, CUdevice device)
{
    int gpu = gs_gpu_of(device), active = 1;
    unsigned int flags;
    if (result == CUDA_SUCCESS && gpu >= 0 && primary[gpu]
        && cuda()->cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && !active)
        context_ended(primary[gpu], true);
    return result;
}

/* The call may end the context. */
static void before_end(CUdevice device)
{
    int gpu = gs_gpu_of(device);
    if (gs_gate_armed && gpu >= 0 && primary[gpu])
        gs_gate_context_ends(primary[gpu]);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    before_end(device);
    return OUTSIDE_TRANSFERS(primary_released(cuda()->cuDevicePrimaryCtxRelease(device), device));
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    before_end(device);
    return OUTSIDE_TRANSFERS(
        primary_released(cuda()->cuDevicePrimaryCtxRelease_v2(device), device));
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    before_end(device);
    return OUTSIDE_TRANSFERS(primary_released(cuda()->cuDevicePrimaryCtxReset(device), device));
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    before_end(device);
    return OUTSIDE_TRANSFERS(primary_released(cuda()->cuDevicePrimaryCtxReset_v2(device), device));
}

#define MADE_CURRENT(handle) _Generic(*(handle), CUcontext: *(handle), default: NULL)

/* A call that creates a context: charged before, recorded after. */
#define CREATE(handle, on, cost, call)                                   \
    do {                                                                 \
        gs_enter();                                                      \
        struct gs_place place = {.gpu = gs_gpu_taken(on), .device = on}; \
        uint64_t price = place.gpu < 0 ? 0 : (cost);                     \
        bool paid = place.gpu < 0 || enter(place.gpu, price);            \
        gs_channel_groups_begin(place.gpu);                              \
        CUresult result = paid ? call : gs_refuse(place.gpu);            \
        gs_channel_groups_end();                                         \
        if (result == CUDA_SUCCESS)                                      \
            place.context = MADE_CURRENT(handle);                        \
        if (place.gpu >= 0 && result == CUDA_SUCCESS)                    \
            remember((CUcontext) * (handle), &place, price);             \
        else if (place.gpu >= 0 && paid)                                 \
            leave(place.gpu, price);                                     \
        gs_leave();                                                      \
        return result;                                                   \
    } while (0)
#define CREATE_CONTEXT(call) CREATE(context, device, gs_context_bytes(place.gpu), call)

CUresult cuCtxCreate(CUcontext *context, unsigned int flags, CUdevice device)
{
    CREATE_CONTEXT(cuda()->cuCtxCreate(context, flags, device));
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned int flags, CUdevice device)
{
    CREATE_CONTEXT(cuda()->cuCtxCreate_v2(context, flags, device));
}

CUresult cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *affinity, int count,
                        unsigned int flags, CUdevice device)
{
    CREATE_CONTEXT(cuda()->cuCtxCreate_v3(context, affinity, count, flags, device));
}

CUresult cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *parameters, unsigned int flags,
                        CUdevice device)
{
    CREATE_CONTEXT(cuda()->cuCtxCreate_v4(context, parameters, flags, device));
}

CUresult cuGreenCtxCreate(CUgreenCtx *context, CUdevResourceDesc resource, CUdevice device,
                          unsigned int flags)
{
    /* It uses the primary context, which is charged already. */
    CREATE(context, device, any_open(place.gpu) ? 0 : gs_context_bytes(place.gpu),
           cuda()->cuGreenCtxCreate(context, resource, device, flags));
}

static CUresult destroyed(CUresult result, void *context)
{
    if (result == CUDA_SUCCESS)
        context_ended(context, true);
    return result;
}

CUresult cuCtxDestroy(CUcontext context)
{
    if (gs_gate_armed)
        gs_gate_context_ends(context);
    return OUTSIDE_TRANSFERS(destroyed(cuda()->cuCtxDestroy(context), context));
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
    if (gs_gate_armed)
        gs_gate_context_ends(context);
    return OUTSIDE_TRANSFERS(destroyed(cuda()->cuCtxDestroy_v2(context), context));
}

/* What was allocated in a green context belongs to the primary context and stays. */
CUresult cuGreenCtxDestroy(CUgreenCtx green)
{
    CUcontext context = NULL;
    gs_enter();
    cuda()->cuCtxFromGreenCtx(&context, green);
    CUresult result = cuda()->cuGreenCtxDestroy(green);
    if (result == CUDA_SUCCESS) {
        context_ended(context, false);
        context_ended(green, false);
    }
    gs_leave();
    return result;
}

void gs_context_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(open_contexts, 0, sizeof open_contexts);
    memset(primary, 0, sizeof primary);
}
