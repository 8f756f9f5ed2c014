/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure: what happens when a charge fails. Memory that is only cached is given up, then the
 * charge is tried again.
 *
 * Model. Three stages: charge; give up the caches of this process and charge again; in a movable
 * share, raise `pressure` in the region, so that the suspend threads of the other processes drop
 * their caches within 10 ms, and charge again for up to 50 ms. Rooms above register what they can
 * give up as shrinkers; this room knows none of them.
 *
 * Invariants:
 * 1. Shrinkers are added before the first charge and never change afterwards, so reading them takes
 *    no lock.
 * 2. A shrinker frees unused memory only; memory of the program is never touched.
 * 3. A shrinker calls the driver, so none of its locks may be held by the caller.
 * 4. Captures of other threads stay valid: shrinkers run in relaxed capture mode.
 *
 * Owner: gs_region_opened() adds shrinkers. Threads: any. Limits: 4 shrinkers; a refusal after
 * pressure takes up to 50 ms.
 */
#ifndef GS_PRESSURE_H
#define GS_PRESSURE_H

#include "charge/charge.h"
#include "driver/real.h"

/* gs_charge(), under pressure if necessary. False when the limit stays exceeded. */
bool gs_charge_or_reclaim(enum gs_model model, int gpu, uint64_t bytes);

/*
 * A holder of cached memory: `trim` frees it, `settle`, if not NULL, brings its charge up to date.
 */
struct gs_shrinker {
    void (*trim)(int gpu);
    void (*settle)(int gpu);
};

/* From gs_region_opened() only. Shrinkers run in the order in which they were added. */
void gs_pressure_add(struct gs_shrinker shrinker);

/* Runs `trim` of all shrinkers for a GPU. */
void gs_reclaim(int gpu);

/* Runs `settle` of all shrinkers for a GPU. */
void gs_settle(int gpu);

/* Counts a refusal and returns the error for the program. */
CUresult gs_refuse(int gpu);

#endif
