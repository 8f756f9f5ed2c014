/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the control daemon's life: claim the pipe directory, listen, serve, end with the
 *   servers.
 * Owner: the process.
 * Threads: one, in poll().
 * Limits: one daemon per pipe directory, held by a file lock.
 */
#ifndef GS_SIM_MPS_DAEMON_H
#define GS_SIM_MPS_DAEMON_H

int mps_daemon_run(int ready); /* ready: gets one byte when the daemon listens; -1: none */

#endif
