/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This process' part in the share: reserve before the driver is called, give back when it fails or frees.
 * A GPU is its index in the region.
 */
#ifndef GS_CHARGE_H
#define GS_CHARGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How the driver takes memory for a request. EXACT: as asked (it is a multiple of the granularity already).
 * BLOCK: the driver hands out 2 MiB pages; a request above 1 MiB has pages of its own, others are cut
 * from shared pages. Small requests are therefore summed per process and charged by whole pages, which is
 * exact but for fragmentation: at most one page off when small blocks are freed in the order they came.
 */
enum gs_model { GS_EXACT, GS_BLOCK };

struct gs_usage {
    uint64_t limit, used, cached;
};

bool gs_charge(enum gs_model model, int gpu, uint64_t bytes);
void gs_uncharge(enum gs_model model, int gpu, uint64_t bytes);

/* Charges what exists already, whatever the limit says. */
void gs_charge_forced(int gpu, uint64_t bytes);

struct gs_usage gs_usage(int gpu);

void gs_count_denied(int gpu);

void gs_charge_forget(void);

#endif
