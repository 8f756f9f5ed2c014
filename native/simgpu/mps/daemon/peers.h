/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: connections: a CUDA process asks for a server, waits while there is none, and leaves by
 *   closing.
 * Owner: the daemon; a peer owns its descriptor.
 * Threads: one; takes the image lock.
 * Limits: MPS_MAX_PEERS connections, 48 clients per server (60 from CUDA 13.1).
 */
#ifndef GS_SIM_MPS_PEERS_H
#define GS_SIM_MPS_PEERS_H

#include "mps/state.h"

void mps_peer_request(mps_peer *peer);
void mps_peer_drop(mps_peer *peer);
void mps_serve_pending(void);

#endif
