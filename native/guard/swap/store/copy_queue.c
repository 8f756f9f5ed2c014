/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/store/copy_queue.h"

static void note(struct gs_ferry *ferry, CUresult result)
{
    if (ferry->error == CUDA_SUCCESS)
        ferry->error = result;
}

CUresult gs_ferry_open(struct gs_ferry *ferry, CUresult (*arrived)(const struct gs_load *, bool whole))
{
    *ferry = (struct gs_ferry){.arrived = arrived};
    note(ferry, cuda()->cuStreamCreate(&ferry->stream, CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < GS_FERRY_DEPTH && ferry->error == CUDA_SUCCESS; i++)
        note(ferry, cuda()->cuEventCreate(&ferry->event[i], CU_EVENT_DISABLE_TIMING));
    return ferry->error;
}

bool gs_ferry_wait(struct gs_ferry *ferry)
{
    if (ferry->done == ferry->begun)
        return false;
    unsigned place = ferry->done++ % GS_FERRY_DEPTH;
    CUresult result = cuda()->cuEventSynchronize(ferry->event[place]);
    note(ferry, result);
    note(ferry, ferry->arrived(&ferry->load[place], result == CUDA_SUCCESS));
    return true;
}

void gs_ferry_sent(struct gs_ferry *ferry, const struct gs_load *load)
{
    if (ferry->begun - ferry->done == GS_FERRY_DEPTH)
        gs_ferry_wait(ferry);
    unsigned place = ferry->begun % GS_FERRY_DEPTH;
    CUresult result = cuda()->cuEventRecord(ferry->event[place], ferry->stream);
    note(ferry, result);
    if (result != CUDA_SUCCESS)
        return;
    ferry->load[place] = *load;
    ferry->begun++;
}

CUresult gs_ferry_close(struct gs_ferry *ferry)
{
    while (gs_ferry_wait(ferry))
        ;
    for (int i = 0; i < GS_FERRY_DEPTH; i++)
        if (ferry->event[i])
            cuda()->cuEventDestroy_v2(ferry->event[i]);
    if (ferry->stream)
        cuda()->cuStreamDestroy_v2(ferry->stream);
    return ferry->error;
}
