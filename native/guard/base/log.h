/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard's log: the file that GPUSHARE_GUARD_LOG names; without it nothing is written.
 * Owner: none; no state. Threads: any; each line is one write(). Keeps errno.
 * Limits: 510 characters per line; the file is opened for each line, so this is not for the launch
 * path.
 */
#ifndef GS_LOG_H
#define GS_LOG_H

void gs_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
