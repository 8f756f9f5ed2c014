/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the driver's memory limits per cgroup (r615), and which processes count against them.
 * Owner: image.limits[]; the driver interface that sets them is nvml/memory.c.
 * Threads: under the image lock, except gs_cgroup_holds().
 * Limits: a limit applies to one device, or to the MIG instances of a GPU.
 */
#ifndef GS_SIM_CGROUP_H
#define GS_SIM_CGROUP_H

#include "machine/image.h"

/* The tightest hard limit on this process and device, and what counts against it. */
const gs_limit *gs_limit_of(const gs_image *image, const gs_slot *slot, int device);
uint64_t gs_limit_used(const gs_image *image, const gs_limit *limit);
/* Whether the process with that /proc/PID/cgroup is in `cgroup` or, unless `leaf`, below it. */
bool gs_cgroup_holds(const char *cgroup, const char *proc_cgroup, bool leaf);

#endif
