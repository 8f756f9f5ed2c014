/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: static SM partitions: chunks of SMs that are set aside, named UUID/number.
 * Owner: the daemon.
 * Threads: one.
 * Limits: partitions are listed and counted; clients do not compute on them.
 */
#ifndef GS_SIM_MPS_PARTITION_H
#define GS_SIM_MPS_PARTITION_H

#include "mps/state.h"

bool mps_partition_add(int device, uint32_t chunks, char *name, size_t size);
bool mps_partition_remove(int device, int id);

#endif
