/* SPDX-License-Identifier: Apache-2.0 */
/* Tries to take more than a share may hold, by every path, and gives everything back. */
#ifndef GS_PROBE_ATTEMPT_H
#define GS_PROBE_ATTEMPT_H

#include "device.h"

enum mode { ATTEMPT, FILL, CONTEXT_ONLY };

/*
 * ATTEMPT: one request of one page more than the limit; it must be refused, so nothing is ever
 * held. FILL: takes ever smaller chunks until one page is refused; `held` is what a program can
 * allocate.
 */
struct attempt {
    enum mode mode;
    const char *only; /* one path; NULL: all */
    int linger;       /* milliseconds to hold what was given */
};

void attempt_all(const struct device *device, const struct attempt *how, struct json *json);

#endif
