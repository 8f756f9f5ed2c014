/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of the arbiter: the right to give turns on a GPU, for 40 ms at a time. A process that
 * is stopped or killed does not renew it, so another one takes over.
 * Owner: the process that holds it writes it; any process may take an expired one.
 * Threads: any; compare-and-swap on one word. Limits: an arbiter that is slower than the lease has
 * to check again before it writes.
 */
#ifndef GS_LEASE_H
#define GS_LEASE_H

#include "share/gpu_page.h"

#define GS_LEASE_NS 40000000ull

/* Takes a free or expired lease, or renews our own; false when another process holds it. */
bool gs_lease_take(struct gs_gpu_page *page, int number, uint64_t now);
void gs_lease_drop(struct gs_gpu_page *page, int number);

#endif
