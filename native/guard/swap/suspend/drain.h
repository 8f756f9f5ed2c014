/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_DRAIN_H
#define GS_DRAIN_H

#include <stdbool.h>

enum gs_drained { GS_DRAINED, GS_BROKEN, GS_GAVE_UP };

/*
 * Waits for the work of every context that has blocks, while the process is quiesced; broken: a context answers with
 * an error. Work may itself wait for a thread that is kept out. So when it is no longer wanted, the process is let in
 * again before its work is done.
 */
enum gs_drained gs_drain(bool (*wanted)(void));

#endif
