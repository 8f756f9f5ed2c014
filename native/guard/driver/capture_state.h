/* SPDX-License-Identifier: Apache-2.0 */
/* Stream captures in progress: launches into them are no GPU work yet, and questions to the driver may spoil them. */
#ifndef GS_CAPTURE_STATE_H
#define GS_CAPTURE_STATE_H

#include <stdbool.h>

#include "driver/real.h"

extern int gs_captures; /* atomic */

static inline bool gs_capturing(void)
{
    return __atomic_load_n(&gs_captures, __ATOMIC_RELAXED) > 0;
}

/* Whether this very stream is being captured. */
bool gs_is_captured(CUstream stream);

void gs_captures_forget(void);

#endif
