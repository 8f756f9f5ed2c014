/* SPDX-License-Identifier: Apache-2.0 */
/* The role of arbiter: a role that has to be renewed, so that a process that is stopped or killed loses it. */
#ifndef GS_LEASE_H
#define GS_LEASE_H

#include "share/gpu_page.h"

#define GS_LEASE_NS 40000000ull

/* Takes it if it is free or expired, renews it if it is ours already; whether it is ours now. */
bool gs_lease_take(struct gs_gpu_page *page, int number, uint64_t now);
void gs_lease_drop(struct gs_gpu_page *page, int number);

#endif
