/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time slices by rank, where contexts take turns on the GPU. Beside urgent work a job's slice is short: that is how
 * long the urgent work waits for a kernel that cannot be cut otherwise. The urgent work's own is long, so that it is
 * done before the rest of that kernel gets a turn; the GPU stays with it in pauses between launches, too.
 */
#ifndef GS_TIMESLICE_H
#define GS_TIMESLICE_H

#include "schedule/process/attachment.h"

/* High rank, at the begin of a burst: long where all others are jobs. */
void gs_slice_urgent(struct gs_ride *ride);

/* Low rank, with every look beside urgent work. */
void gs_slice_beside_urgent(struct gs_ride *ride);

/* As the driver likes. Cheap while that is so. */
void gs_slice_usual(struct gs_ride *ride);

/*
 * In turns: what runs over the end of one is to be done before others begin. Not beside urgent work, which waits for no
 * turns, nor for programs that share their turn.
 */
void gs_slice_in_turns(struct gs_ride *ride);

/* Whether a share's programs have such slices: then their work does not run beside others'. */
bool gs_slice_is_of_turns(const struct gs_seat *seat);

/* Low rank, after a time as the driver likes. */
void gs_slice_again(struct gs_ride *ride);

/* How long urgent work may have the GPU at once, in ns; 0 where the driver's slices hold, or contexts take no turns. */
uint64_t gs_slice_of_urgent(const struct gs_ride *ride);

#endif
