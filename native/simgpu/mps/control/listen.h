/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: sockets in the pipe directory. v2 has one; v3 one per server and namespace:
 *   <pipe>/control  <pipe>/SERVER/control  <pipe>/SERVER/NAMESPACE/control
 * Owner: the daemon; the sockets of a server are removed with it.
 * Threads: one.
 * Limits: MPS_MAX_LISTENERS sockets.
 */
#ifndef GS_SIM_MPS_LISTEN_H
#define GS_SIM_MPS_LISTEN_H

#include "mps/state.h"

bool mps_listen(int server, const char *name, const char *directory, const mps_limits *limits,
                bool route_only);
void mps_unlisten(int server, const char *name); /* name NULL: every socket of the server */

#endif
