/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/worker.h"

#include <signal.h>
#include <time.h>

#include "cuda/core/context.h"
#include "cuda/core/handle.h"
#include "cuda/memory/arena.h"
#include "cuda/execution/execute.h"
#include "cuda/execution/order.h"

/* Values in memory change without a signal, so they are polled. */
enum { POLL_NS = 20000, NAP_NS = 20000000, MAX_BUSY = 256 };

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

static bool event_waits(const gs_op *op)
{
    return op->type == OP_WAIT && op->event.sequence && gs_handle_is(op->event.event, KIND_EVENT)
           && op->event.event->queued && op->event.event->queued <= op->event.sequence;
}

bool gs_must_queue(CUstream stream, const gs_op *op)
{
    /* A value counts when the stream reaches the wait: it may have changed by then. */
    if (op->type == OP_VALUE_WAIT
        && (gs_stream_ready(stream) > gs_now_ns() || !satisfied(&op->value)))
        return true;
    if (op->type == OP_HOST)
        return true;
    return stream->first || event_waits(op) || gs_stream_behind(stream, op->sequence);
}

static bool may_run(CUstream stream, const gs_op *op)
{
    if (gs_stream_behind(stream, op->sequence) || event_waits(op))
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

/* Contexts with queued work. */
static CUcontext busy[MAX_BUSY];
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

/* When the head of a queue may become able to run. */
static uint64_t next_wake(void)
{
    uint64_t now = gs_now_ns(), next = now + NAP_NS;
    for (int i = 0; i < busy_count; i++)
        for (CUstream stream = busy[i]->streams; stream; stream = stream->next) {
            const gs_op *op = stream->first;
            if (op && op->type == OP_VALUE_WAIT && gs_stream_ready(stream) <= now)
                next = MIN(next, now + POLL_NS);
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
            nap_until(next_wake());
    return nothing;
}

static void start(void)
{
    pthread_condattr_t clock;
    pthread_t thread;
    sigset_t all, before;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &clock);
    sigfillset(&all); /* the program's own threads handle its signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, work, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    started = true;
}

void gs_queue(CUstream stream, gs_op *op)
{
    gs_op *queued = malloc(sizeof *queued);
    *queued = *op; /* takes over what it owns */
    queued->next = NULL;
    if (!started)
        start();
    if (stream->last)
        stream->last->next = queued;
    else
        stream->first = queued;
    stream->last = queued;
    waiting++;
    int i = 0;
    while (i < busy_count && busy[i] != stream->ctx)
        i++;
    if (i == busy_count && busy_count < MAX_BUSY)
        busy[busy_count++] = stream->ctx;
    pthread_cond_broadcast(&changed);
}

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
    nap_until(gs_now_ns() + NAP_NS);
}
