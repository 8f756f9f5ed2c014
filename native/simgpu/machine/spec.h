/* SPDX-License-Identifier: Apache-2.0 */
/* gpushare-sim-machine: the keys of a machine's description, read and written by one table. */
#ifndef GS_SIM_MACHINE_H
#define GS_SIM_MACHINE_H

#include "machine/image.h"

#include <stdio.h>

/* Read `key=value` lines into an empty image. On a mistake says so on stderr and returns false. */
bool gs_machine_read(gs_image *image, FILE *spec);
void gs_machine_show(gs_image *image, FILE *out);

#endif
