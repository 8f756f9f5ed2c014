/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: named servers and their namespaces.
 * Owner: mps.servers[] and mps.listeners[].
 * Threads: one, under the image lock.
 * Limits: a server without a valid device starts and ends immediately, as the real one does.
 */
#ifndef GS_SIM_MPS_V3_SERVER_H
#define GS_SIM_MPS_V3_SERVER_H

#include "mps/dialect/v3_call.h"

mps_server *v3_server_create(const char *name, uint32_t uid, const mps_limits *limits,
                             uint64_t devices);
uint64_t v3_devices(const char *list); /* NULL: every device of the daemon */
bool v3_namespace_create(int server, const char *name, const mps_limits *limits);
void v3_server(v3_call *call);
void v3_namespace(v3_call *call);

#endif
