/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining: waiting until the GPU has finished the work of this process.
 * Owner: none; its state ends with the call. Threads: the suspend thread, while the process is
 * quiesced; a thread of its own waits for the driver.
 * Limits: contexts with blocks only, at most 64.
 */
#ifndef GS_DRAIN_H
#define GS_DRAIN_H

#include <stdbool.h>

enum gs_drained { GS_DRAINED, GS_BROKEN, GS_GAVE_UP };

/*
 * Waits for the work of every context with blocks; broken: a context returns an error. Work may
 * itself wait for a thread that is kept out, so when still_ordered() becomes false, quiescing ends
 * first and the work is waited for afterwards.
 */
enum gs_drained gs_drain(bool (*still_ordered)(void));

#endif
