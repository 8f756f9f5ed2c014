/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: control.log and server.log, in the format of driver 580.
 * Owner: the process; the file stays open until it ends.
 * Threads: one.
 * Limits: a line is cut at 1023 characters. After a failed write nothing more is logged.
 */
#ifndef GS_SIM_MPS_LOG_H
#define GS_SIM_MPS_LOG_H

void mps_log_open(const char *directory, const char *file, const char *role);
void mps_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
