/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: clients, devices, partitions, features and memory accounting.
 * Owner: none.
 * Threads: one, under the image lock.
 * Limits: features are switches without effect.
 */
#ifndef GS_SIM_MPS_V3_RESOURCES_H
#define GS_SIM_MPS_V3_RESOURCES_H

#include "mps/dialect/v3_call.h"

void v3_client(v3_call *call);
void v3_device(v3_call *call);
void v3_sm_partition(v3_call *call);
void v3_feature(v3_call *call);
void v3_memacct(v3_call *call);
bool v3_feature_set(const char *name, bool on);

#endif
