/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: try to allocate more than the share's limit by every path, and free everything again.
 * Owner: each attempt owns its allocations and frees them before it returns.
 * Threads: the main thread.
 * Limits: a path that cannot allocate that much in one request is reported as skipped.
 */
#ifndef GS_PROBE_ATTEMPT_H
#define GS_PROBE_ATTEMPT_H

#include "device.h"

enum mode { ATTEMPT, FILL, CONTEXT_ONLY };

/*
 * ATTEMPT: one request of one page more than the limit. It must be refused, so no memory is held
 * unless the request is for a part of the limit.
 * FILL: smaller and smaller chunks until one page is refused; `held` is what a program can allocate.
 */
struct attempt {
    enum mode mode;
    const char *only; /* one path; NULL: all */
    int linger;       /* milliseconds to hold what was allocated */
    bool keep;        /* hold it until the process ends */
    unsigned parts;   /* ask for this part of the limit and a page; 0: all of it */
};

void attempt_all(const struct device *device, const struct attempt *attempt, struct json *json);

#endif
