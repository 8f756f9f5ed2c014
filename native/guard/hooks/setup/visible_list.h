/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUDA_VISIBLE_DEVICES inside a share, as a list that the driver cannot take for other GPUs.
 * Owner: none, pure. Threads: any. Limits: GS_GPUS entries and one more, which is enough to keep
 * a duplicate a duplicate.
 */
#ifndef GS_VISIBLE_LIST_H
#define GS_VISIBLE_LIST_H

#include "share/region.h"

enum { GS_VISIBLE_LIST = (GS_GPUS + 1) * GS_UUID };

/*
 * Writes the UUIDs of the GPUs that `value` names. A number below the count of the region's GPUs
 * counts those, as in a container. A larger one is a number of the machine: `machine` lists those
 * of the region's GPUs, in its order, or is NULL. A UUID or the beginning of one has to be of the
 * region. As in the driver, an
 * invalid entry hides all that follow. NULL, a variable that is not set, names all.
 */
void gs_visible_list(const struct gs_region *region, const char *machine, const char *value,
                     char list[GS_VISIBLE_LIST]);

#endif
