/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the commands of protocol 3 (NVIDIA MPS documentation, r615): module, verb, names,
 *   --options.
 * Owner: none.
 * Threads: one, under the image lock.
 * Limits: answers are tables or CSV.
 */
#ifndef GS_SIM_MPS_V3_H
#define GS_SIM_MPS_V3_H

#include <stdio.h>

void mps_v3(char *line, FILE *out);

#endif
