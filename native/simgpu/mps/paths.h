/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the pipe and log directories.
 * Owner: none.
 * Threads: one.
 * Limits: a path has at most GS_PATH - 1 characters.
 */
#ifndef GS_SIM_MPS_PATHS_H
#define GS_SIM_MPS_PATHS_H

#include <stdbool.h>

void mps_make_directory(const char *path); /* with its parents */
void mps_directories(char *pipe, char *log, int protocol);
bool mps_machine_gone(int image_fd); /* the image was removed, so the machine no longer exists */

#endif
