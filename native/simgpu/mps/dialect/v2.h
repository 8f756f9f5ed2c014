/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the commands of protocol 2: one per line, with the answers of driver 580 where they are
 *   known.
 * Owner: none.
 * Threads: one, under the image lock.
 * Limits: a command exists from the driver branch that introduced it.
 */
#ifndef GS_SIM_MPS_V2_H
#define GS_SIM_MPS_V2_H

#include <stdio.h>

void mps_v2(char *line, FILE *out);

#endif
