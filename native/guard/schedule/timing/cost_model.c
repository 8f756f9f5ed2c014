/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/cost_model.h"

#include <string.h>

#include "driver/capture_state.h"

enum { KINDS = 4096, SAMPLES = 16, EVERY = 61, EAGER = 3 };

/* One kind of launch. Written under the lock, read without it: an estimate may be old, not torn. */
struct kind {
    uint64_t key;
    uint32_t ns;
    uint32_t count;    /* measurements */
    uint32_t launches; /* since the newest of them */
};

struct sample {
    CUevent begin, end;
    CUcontext context;
    uint64_t key;
    struct gs_attachment *attachment;
    bool live;
};

static struct kind kinds[KINDS];
static struct sample samples[SAMPLES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct kind *find(uint64_t key)
{
    size_t at = (key * 0x9e3779b97f4a7c15ull) >> 52;
    for (int i = 0; i < 8; i++) {
        struct kind *kind = &kinds[(at + (size_t)i) % KINDS];
        uint64_t here = __atomic_load_n(&kind->key, __ATOMIC_RELAXED);
        if (here == key || here == 0)
            return kind;
    }
    return &kinds[at]; /* full here: the newest kind takes the place of the oldest */
}

uint64_t gs_cost_model_estimate(uint64_t key)
{
    const struct kind *kind = find(key);
    return __atomic_load_n(&kind->key, __ATOMIC_RELAXED) == key ? __atomic_load_n(&kind->ns, __ATOMIC_RELAXED) : 0;
}

/* Wants the lock. */
static void learn(uint64_t key, uint64_t ns)
{
    struct kind *kind = find(key);
    if (kind->key != key)
        *kind = (struct kind){.key = key};
    uint32_t bounded = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    uint32_t before = kind->ns ? kind->ns : bounded;
    __atomic_store_n(&kind->ns, kind->count ? before - before / 4 + bounded / 4 : bounded, __ATOMIC_RELAXED);
    kind->count++;
    kind->launches = 0;
}

/* Wants the lock. A sample whose work still runs stays. */
static void read_sample(struct sample *sample)
{
    float ms;
    if (!sample->live || cuda()->cuEventQuery(sample->end) == CUDA_ERROR_NOT_READY)
        return;
    sample->live = false;
    if (cuda()->cuEventElapsedTime(&ms, sample->begin, sample->end) != CUDA_SUCCESS || ms < 0)
        return;
    uint64_t ns = (uint64_t)((double)ms * 1e6);
    learn(sample->key, ns ? ns : 1);
    if (ns > sample->attachment->share->longest_ns)
        sample->attachment->share->longest_ns = ns;
}

/* Wants the lock. Events belong to a context. */
static bool has_events(struct sample *sample, CUcontext context)
{
    if (sample->begin && sample->context == context)
        return true;
    if (sample->begin) {
        cuda()->cuEventDestroy_v2(sample->begin);
        cuda()->cuEventDestroy_v2(sample->end);
    }
    *sample = (struct sample){.context = context};
    return cuda()->cuEventCreate(&sample->begin, CU_EVENT_DEFAULT) == CUDA_SUCCESS &&
           cuda()->cuEventCreate(&sample->end, CU_EVENT_DEFAULT) == CUDA_SUCCESS;
}

static bool wanted(uint64_t key)
{
    struct kind *kind = find(key);
    if (kind->key != key || kind->count < EAGER)
        return true;
    return __atomic_add_fetch(&kind->launches, 1, __ATOMIC_RELAXED) >= EVERY;
}

static int free_sample(void)
{
    CUcontext context;
    if (cuda()->cuCtxGetCurrent(&context) != CUDA_SUCCESS)
        return -1;
    for (int i = 0; i < SAMPLES; i++) {
        read_sample(&samples[i]);
        if (!samples[i].live)
            return has_events(&samples[i], context) ? i : -1;
    }
    return -1;
}

/* Never waits: what is busy is measured another time. Held until gs_cost_model_end(). */
int gs_cost_model_begin(uint64_t key, CUstream stream)
{
    if (gs_capturing() || !wanted(key) || pthread_mutex_trylock(&lock) != 0)
        return -1;
    int i = free_sample();
    if (i >= 0 && cuda()->cuEventRecord(samples[i].begin, stream) == CUDA_SUCCESS) {
        samples[i].key = key;
        return i;
    }
    pthread_mutex_unlock(&lock);
    return -1;
}

void gs_cost_model_end(int i, CUstream stream, bool launched, struct gs_attachment *attachment)
{
    if (i < 0)
        return;
    samples[i].attachment = attachment;
    samples[i].live = launched && cuda()->cuEventRecord(samples[i].end, stream) == CUDA_SUCCESS;
    pthread_mutex_unlock(&lock);
}

void gs_cost_model_forget_context(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SAMPLES; i++)
        if (samples[i].context == context)
            samples[i] = (struct sample){0};
    pthread_mutex_unlock(&lock);
}

void gs_cost_model_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(kinds, 0, sizeof kinds);
    memset(samples, 0, sizeof samples);
}
