/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream captures in progress. A launch into a captured stream is not GPU work yet, and some calls
 * of the driver, such as a synchronisation, invalidate a capture.
 * Owner: hooks/execution/capture.c counts. Threads: any; one atomic word.
 * Limits: counts captures of the whole process; only gs_is_captured() asks about one stream.
 */
#ifndef GS_CAPTURE_STATE_H
#define GS_CAPTURE_STATE_H

#include <stdbool.h>

#include "driver/real.h"

extern int gs_captures; /* atomic */

static inline bool gs_capturing(void)
{
    return __atomic_load_n(&gs_captures, __ATOMIC_RELAXED) > 0;
}

/* Whether this stream is being captured. Calls the driver only while there is a capture. */
bool gs_is_captured(CUstream stream);

/*
 * For the guard's own threads: what they call from now on invalidates no capture. gs_capturing()
 * alone is too early: a capture of another thread may begin between the question and the call.
 */
void gs_spare_captures(void);

/* In the child of a fork. */
void gs_captures_forget(void);

#endif
