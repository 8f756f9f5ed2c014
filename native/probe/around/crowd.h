/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: several processes of one share at the same time. A limit for each process instead of
 *     for the share gives them several times the limit.
 * Owner: the processes are children, ended before the function returns.
 * Threads: the main thread, before it has used the driver, because CUDA does not survive fork().
 * Limits: they hold what they allocate, so the share must be idle.
 */
#ifndef GS_PROBE_CROWD_H
#define GS_PROBE_CROWD_H

#include "base/json.h"

/*
 * Runs this program four times with `arguments`, which end with NULL and have room for two more.
 * Writes a list of what each printed.
 */
void crowd_run(char *arguments[], struct json *json);

#endif
