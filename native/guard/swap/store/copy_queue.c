/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/store/copy_queue.h"

static void note(struct gs_copy_queue *queue, CUresult result)
{
    if (queue->error == CUDA_SUCCESS)
        queue->error = result;
}

CUresult gs_copy_queue_open(struct gs_copy_queue *queue,
                            CUresult (*arrived)(const struct gs_copy_batch *, bool whole))
{
    *queue = (struct gs_copy_queue){.arrived = arrived};
    note(queue, cuda()->cuStreamCreate(&queue->stream, CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < GS_COPY_QUEUE_DEPTH && queue->error == CUDA_SUCCESS; i++)
        note(queue, cuda()->cuEventCreate(&queue->event[i], CU_EVENT_DISABLE_TIMING));
    return queue->error;
}

bool gs_copy_queue_wait(struct gs_copy_queue *queue)
{
    if (queue->done == queue->begun)
        return false;
    unsigned place = queue->done++ % GS_COPY_QUEUE_DEPTH;
    CUresult result = cuda()->cuEventSynchronize(queue->event[place]);
    note(queue, result);
    note(queue, queue->arrived(&queue->batch[place], result == CUDA_SUCCESS));
    return true;
}

void gs_copy_queue_sent(struct gs_copy_queue *queue, const struct gs_copy_batch *batch)
{
    if (queue->begun - queue->done == GS_COPY_QUEUE_DEPTH)
        gs_copy_queue_wait(queue);
    unsigned place = queue->begun % GS_COPY_QUEUE_DEPTH;
    CUresult result = cuda()->cuEventRecord(queue->event[place], queue->stream);
    note(queue, result);
    if (result != CUDA_SUCCESS)
        return;
    queue->batch[place] = *batch;
    queue->begun++;
}

CUresult gs_copy_queue_close(struct gs_copy_queue *queue)
{
    while (gs_copy_queue_wait(queue))
        ;
    for (int i = 0; i < GS_COPY_QUEUE_DEPTH; i++)
        if (queue->event[i])
            cuda()->cuEventDestroy_v2(queue->event[i]);
    if (queue->stream)
        cuda()->cuStreamDestroy_v2(queue->stream);
    return queue->error;
}
