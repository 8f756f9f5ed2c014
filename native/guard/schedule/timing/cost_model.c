/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/timing/cost_model.h"

#include <string.h>

#include "driver/capture_state.h"
#include "schedule/timing/cost_table.h"

enum { SAMPLES = 16 };

struct sample {
    CUevent begin, end;
    CUcontext context;
    uint64_t key;
    struct gs_attachment *attachment;
    bool live;
};

static struct gs_cost_table table;
static struct sample samples[SAMPLES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t gs_cost_model_estimate(uint64_t key)
{
    return gs_cost_estimate(&table, key);
}

/* Leaves a sample whose work still runs. Needs the lock. */
static void read_sample(struct sample *sample)
{
    float ms;
    if (!sample->live || cuda()->cuEventQuery(sample->end) == CUDA_ERROR_NOT_READY)
        return;
    sample->live = false;
    if (cuda()->cuEventElapsedTime(&ms, sample->begin, sample->end) != CUDA_SUCCESS || ms < 0)
        return;
    uint64_t ns = (uint64_t)((double)ms * 1e6);
    gs_cost_learn(&table, sample->key, ns ? ns : 1);
    if (ns > sample->attachment->share->longest_ns)
        sample->attachment->share->longest_ns = ns;
}

/* Events belong to a context. Needs the lock. */
static bool has_events(struct sample *sample, CUcontext context)
{
    if (sample->begin && sample->context == context)
        return true;
    if (sample->begin) {
        cuda()->cuEventDestroy_v2(sample->begin);
        cuda()->cuEventDestroy_v2(sample->end);
    }
    *sample = (struct sample){.context = context};
    return cuda()->cuEventCreate(&sample->begin, CU_EVENT_DEFAULT) == CUDA_SUCCESS
           && cuda()->cuEventCreate(&sample->end, CU_EVENT_DEFAULT) == CUDA_SUCCESS;
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

/* Never waits; without the lock the launch is not measured. Holds it until gs_cost_model_end(). */
int gs_cost_model_begin(uint64_t key, CUstream stream)
{
    if (gs_capturing() || !gs_cost_is_due(&table, key) || pthread_mutex_trylock(&lock) != 0)
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
    memset(&table, 0, sizeof table);
    memset(samples, 0, sizeof samples);
}
