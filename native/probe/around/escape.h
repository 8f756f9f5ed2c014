/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: try what a user can do against the limits: start this program in another environment.
 * Owner: each escape is a child process, ended before the function returns.
 * Threads: the main thread, before it has used the driver, because CUDA does not survive fork().
 * Limits: an escape whose variable is not set is not tried.
 */
#ifndef GS_PROBE_ESCAPE_H
#define GS_PROBE_ESCAPE_H

#include "base/json.h"

/* What each escape runs. */
struct escapees {
    char **arguments;    /* of this program; they end with NULL and have room for two more */
    const char *devices; /* UUIDs of the share's GPUs; "": not known */
    bool measuring;      /* they may work on the GPU */
};

/* Writes elements {name, work, view}, where view is what the child printed, or null. */
void escape_all(const struct escapees *who, struct json *json);

/* The most free memory that an escape saw on that GPU, or -1; valid after escape_all(). */
int64_t escape_free(const char *uuid);

#endif
