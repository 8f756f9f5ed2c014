/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cannot be timed at submission: host callbacks, waits on values, and whatever stands behind them. One
 * thread takes the oldest operation that may run. An operation may run when
 * 1. nothing older waits in its stream,
 * 2. nothing older waits in a stream it is ordered with (the legacy stream and blocking ones), and
 * 3. what it waits for has come: the time, the event, the value.
 */
#include "cuda/core/sim.h"

#include <signal.h>
#include <time.h>

enum { VALUE_LOOK_NS = 20000 }; /* values in memory change without telling anybody */

static pthread_cond_t changed;
static bool started;
static int waiting; /* operations in all queues */

static bool satisfied(const CUstreamMemOpValueParams *wait)
{
    const void *at = gs_bytes(wait->address);
    bool wide = wait->operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
    uint64_t now = wide ? __atomic_load_n((const uint64_t *)at, __ATOMIC_SEQ_CST)
                        : __atomic_load_n((const uint32_t *)at, __ATOMIC_SEQ_CST);
    uint64_t value = wide ? wait->value64 : wait->value;
    switch (wait->flags & 3) {
    case CU_STREAM_WAIT_VALUE_EQ: return now == value;
    case CU_STREAM_WAIT_VALUE_AND: return (now & value) != 0;
    case CU_STREAM_WAIT_VALUE_NOR: return ~(now | value) != 0;
    default: return wide ? (int64_t)(now - value) >= 0 : (int32_t)(now - value) >= 0;
    }
}

static bool behind_others(CUstream stream, uint64_t sequence)
{
    if (stream->flags & CU_STREAM_NON_BLOCKING)
        return false;
    CUstream legacy = stream->ctx->streams;
    if (!stream->legacy)
        return legacy->first && legacy->first->sequence < sequence;
    for (CUstream other = legacy->next; other; other = other->next)
        if (!(other->flags & CU_STREAM_NON_BLOCKING) && other->first && other->first->sequence < sequence)
            return true;
    return false;
}

static bool event_waits(const gs_op *op)
{
    return op->type == OP_WAIT && op->event.sequence && gs_handle_is(op->event.event, KIND_EVENT)
           && op->event.event->queued && op->event.event->queued <= op->event.sequence;
}

bool gs_must_queue(CUstream stream, const gs_op *op)
{
    /* A value is looked at when the stream gets there: it may have changed by then. */
    if (op->type == OP_VALUE_WAIT && (gs_stream_ready(stream) > gs_now_ns() || !satisfied(&op->value)))
        return true;
    if (op->type == OP_HOST)
        return true;
    return stream->first || event_waits(op) || behind_others(stream, op->sequence);
}

static bool may_run(CUstream stream, const gs_op *op)
{
    if (behind_others(stream, op->sequence) || event_waits(op))
        return false;
    if (op->type != OP_HOST && op->type != OP_VALUE_WAIT)
        return true;
    return gs_stream_ready(stream) <= gs_now_ns() && (op->type == OP_HOST || satisfied(&op->value));
}

static void call_back(CUstream stream, gs_op *op)
{
    CUresult status = gs_context_health(stream->ctx);
    pthread_mutex_unlock(&sim.lock);
    if (op->host.callback)
        op->host.callback(op->host.stream, status, op->host.data);
    else if (status == CUDA_SUCCESS)
        op->host.call(op->host.data);
    pthread_mutex_lock(&sim.lock);
    stream->tail = gs_now_ns();
}

static void run(CUstream stream)
{
    gs_op *op = stream->first;
    if (op->type == OP_HOST)
        call_back(stream, op);
    else
        gs_execute(stream, op);
    if (op->type == OP_VALUE_WAIT)
        stream->tail = MAX(stream->tail, gs_now_ns());
    stream->first = op->next;
    if (!stream->first)
        stream->last = NULL;
    waiting--;
    gs_op_clear(op);
    free(op);
    pthread_cond_broadcast(&changed);
}

static bool run_one(CUcontext ctx)
{
    for (CUstream stream = ctx->streams; stream; stream = stream->next)
        if (stream->first && may_run(stream, stream->first)) {
            run(stream);
            return true;
        }
    return false;
}

/* Contexts with queued work, so the worker need not know where contexts are kept. */
static CUcontext busy[256];
static int busy_count;

static bool step(void)
{
    for (int i = 0; i < busy_count; i++) {
        if (!gs_handle_is(busy[i], KIND_CONTEXT) || !busy[i]->alive) {
            busy[i--] = busy[--busy_count];
            continue;
        }
        if (run_one(busy[i]))
            return true;
    }
    return false;
}

static void nap_until(uint64_t until)
{
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    pthread_cond_timedwait(&changed, &sim.lock, &at);
}

/* When the head of a queue may be able to run. */
static uint64_t next_look(void)
{
    uint64_t now = gs_now_ns(), next = now + 20000000;
    for (int i = 0; i < busy_count; i++)
        for (CUstream stream = busy[i]->streams; stream; stream = stream->next) {
            const gs_op *op = stream->first;
            if (op && op->type == OP_VALUE_WAIT && gs_stream_ready(stream) <= now)
                next = MIN(next, now + VALUE_LOOK_NS);
            else if (op && (op->type == OP_HOST || op->type == OP_VALUE_WAIT))
                next = MIN(next, MAX(now, gs_stream_ready(stream)));
        }
    return next;
}

static void *work(void *nothing)
{
    pthread_mutex_lock(&sim.lock);
    for (;;)
        if (!waiting)
            pthread_cond_wait(&changed, &sim.lock);
        else if (!step())
            nap_until(next_look());
    return nothing;
}

static void start(void)
{
    pthread_condattr_t how;
    pthread_t thread;
    sigset_t all, before;
    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &how);
    sigfillset(&all); /* the program's signals are not ours to take */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, work, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    started = true;
}

void gs_queue(CUstream stream, gs_op *op)
{
    gs_op *kept = malloc(sizeof *kept);
    *kept = *op; /* what it owns moves along */
    kept->next = NULL;
    if (!started)
        start();
    if (stream->last)
        stream->last->next = kept;
    else
        stream->first = kept;
    stream->last = kept;
    waiting++;
    int i = 0;
    while (i < busy_count && busy[i] != stream->ctx)
        i++;
    if (i == busy_count && busy_count < 256)
        busy[busy_count++] = stream->ctx;
    pthread_cond_broadcast(&changed);
}

/* The stream goes away, or its context is broken: what it still wanted to do is forgotten. */
void gs_queue_drop(CUstream stream)
{
    while (stream->first) {
        gs_op *op = stream->first;
        stream->first = op->next;
        gs_op_clear(op);
        free(op);
        waiting--;
    }
    stream->last = NULL;
}

void gs_sleep_queue(void)
{
    nap_until(gs_now_ns() + 20000000);
}
