/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_LOG_H
#define GS_LOG_H

/* Appends one line to the file that GPUSHARE_GUARD_LOG names; nothing without it. Keeps errno. */
void gs_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
