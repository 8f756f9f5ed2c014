/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait for the GPU or query it: after them the guard knows that work is complete. */
#include "hooks/memory/pool.h"
#include "schedule/decide/preempt.h"
#include "schedule/gate.h"

/* In a synchronisation the driver also shrinks its pools. */
#define WAIT(on, call)                                                        \
    do {                                                                      \
        bool gated = __builtin_expect(gs_gate_armed, 0);                      \
        struct gs_attachment *begun = gated ? gs_gate_sync_begins(on) : NULL; \
        CUresult result = call;                                               \
        if (gated)                                                            \
            gs_gate_sync_ended(begun);                                        \
        gs_pools_synchronised();                                              \
        return result;                                                        \
    } while (0)

#define ASK(call)                                                                      \
    do {                                                                               \
        CUresult result = call;                                                        \
        if (__builtin_expect(gs_gate_armed, 0) && result == CUDA_SUCCESS)              \
            gs_gate_sync_ended(NULL);                                                  \
        else if (__builtin_expect(gs_gate_armed, 0) && result == CUDA_ERROR_NOT_READY) \
            gs_gate_asked();                                                           \
        return result;                                                                 \
    } while (0)

CUresult cuStreamSynchronize(CUstream stream)
{
    WAIT(&stream, cuda()->cuStreamSynchronize(stream));
}

CUresult cuStreamSynchronize_ptsz(CUstream stream)
{
    CUstream actual = stream ? stream : CU_STREAM_PER_THREAD;
    WAIT(&actual, cuda()->cuStreamSynchronize_ptsz(stream));
}

CUresult cuEventSynchronize(CUevent event)
{
    WAIT(NULL, cuda()->cuEventSynchronize(event));
}

CUresult cuCtxSynchronize(void)
{
    WAIT(NULL, cuda()->cuCtxSynchronize());
}

CUresult cuCtxSynchronize_v2(CUcontext context)
{
    WAIT(NULL, cuda()->cuCtxSynchronize_v2(context));
}

CUresult cuStreamQuery(CUstream stream)
{
    ASK(cuda()->cuStreamQuery(stream));
}

CUresult cuStreamQuery_ptsz(CUstream stream)
{
    ASK(cuda()->cuStreamQuery_ptsz(stream));
}

CUresult cuEventQuery(CUevent event)
{
    ASK(cuda()->cuEventQuery(event));
}

/* A destroyed stream must not be queried. */
static void forget(CUstream stream)
{
    struct gs_attachment *attachment = gs_gate_armed ? gs_attachment_here() : NULL;
    if (!attachment)
        return;
    gs_preempt_forget_stream(attachment, stream);
    if (GS_READ(attachment->newest_stream) == stream)
        GS_WRITE(attachment->newest_stream, NULL);
}

CUresult cuStreamDestroy(CUstream stream)
{
    forget(stream);
    return cuda()->cuStreamDestroy(stream);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    forget(stream);
    return cuda()->cuStreamDestroy_v2(stream);
}
