/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the time of an event in memory that other processes can map (CU_EVENT_INTERPROCESS).
 * Owner: the event; gs_event_unshare() releases the mapping and the descriptor.
 * Threads: under sim.lock; processes read and write the time as one 64-bit word.
 * Limits: both processes use the same CLOCK_MONOTONIC, so they run on one machine.
 */
#ifndef GS_SIM_CUDA_EVENT_CLOCK_H
#define GS_SIM_CUDA_EVENT_CLOCK_H

#include "cuda/execution/types.h"

CUresult gs_event_share(CUevent event);
CUresult gs_event_map(CUevent event, int fd); /* takes over the descriptor of an exported event */
void gs_event_unshare(CUevent event);

#endif
