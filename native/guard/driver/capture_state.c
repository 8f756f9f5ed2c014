/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/capture_state.h"

int gs_captures;

bool gs_is_captured(CUstream stream)
{
    CUstreamCaptureStatus status;
    if (!gs_capturing())
        return false;
    return cuda()->cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS
           || status != CU_STREAM_CAPTURE_STATUS_NONE;
}

void gs_spare_captures(void)
{
    static __thread bool relaxed;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    if (!relaxed)
        relaxed = cuda()->cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
}

void gs_captures_forget(void)
{
    gs_captures = 0;
}
