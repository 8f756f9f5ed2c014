/* SPDX-License-Identifier: Apache-2.0 */
/* What happens at the limit: return what this process only caches, try once more, then refuse. */
#ifndef GS_PRESSURE_H
#define GS_PRESSURE_H

#include "charge/charge.h"
#include "driver/real.h"

/* Reserves, if need be after trimming this process' pools and graph memory on that GPU. */
bool gs_charge_or_reclaim(enum gs_model model, int gpu, uint64_t bytes);

/* Something of this process' that holds charged memory which it can do without; NULL: it has nothing to settle. */
struct gs_shrinker {
    void (*trim)(int gpu);
    void (*settle)(int gpu);
};

/* From gs_region_opened() only. They are trimmed in the order in which they were added. */
void gs_pressure_add(struct gs_shrinker shrinker);

/* Trims this process' pools and graph memory on a GPU. Wants none of their locks held. */
void gs_reclaim(int gpu);

/* Brings the charges for pools and graph memory on a GPU up to date. */
void gs_settle(int gpu);

/* Counts a refusal; the answer to give. */
CUresult gs_refuse(int gpu);

#endif
