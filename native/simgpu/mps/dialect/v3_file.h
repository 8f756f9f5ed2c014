/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the configuration file of protocol 3 (-a FILE).
 * Owner: none.
 * Threads: one; takes the image lock.
 * Limits: the part of TOML that schema 1.0 needs. Unknown keys are errors.
 */
#ifndef GS_SIM_MPS_V3_FILE_H
#define GS_SIM_MPS_V3_FILE_H

#include <stdbool.h>
#include <stdio.h>

bool mps_v3_apply(const char *file, FILE *errors);

#endif
