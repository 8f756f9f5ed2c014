/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charges of this process against the limit of its share: before the driver is called, and back
 * when the call fails or memory is freed.
 * Owner: charge.c; the sums are in the region. Threads: any; takes the lock of charge.c, then the
 * region's.
 * Limits: a GPU is its index in the region and must not be -1. If the lock of the region cannot be
 * repaired, nothing is limited.
 */
#ifndef GS_CHARGE_H
#define GS_CHARGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How the driver takes memory for a request. EXACT: as requested, a multiple of the granularity.
 * BLOCK: in pages of 2 MiB; a request above 1 MiB has pages of its own, smaller ones share pages.
 * Small requests are therefore summed per process and charged in whole pages. That is exact except
 * for fragmentation: at most one page off when small blocks are freed in the order of their
 * allocation.
 */
enum gs_model { GS_EXACT, GS_BLOCK };

struct gs_usage {
    uint64_t limit, used, cached;
};

/* False when the limit, or the number of processes, does not allow it. */
bool gs_charge(enum gs_model model, int gpu, uint64_t bytes);
void gs_uncharge(enum gs_model model, int gpu, uint64_t bytes);

/* Charges memory that exists already, beyond the limit if necessary. */
void gs_charge_forced(int gpu, uint64_t bytes);

/* What the whole share uses, after dead processes are swept. */
struct gs_usage gs_usage(int gpu);

/* Counts a refused allocation. */
void gs_count_denied(int gpu);

/* In the child of a fork. */
void gs_charge_forget(void);

#endif
