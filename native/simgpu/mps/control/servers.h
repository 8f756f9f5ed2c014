/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the servers of this daemon and their clients: start, find, count, stop.
 * Owner: the daemon; each server is a child process described in image.servers[].
 * Threads: one, under the image lock.
 * Limits: GS_MAX_MPS_SERVERS on a machine.
 */
#ifndef GS_SIM_MPS_SERVERS_H
#define GS_SIM_MPS_SERVERS_H

#include "mps/state.h"

mps_server *mps_server_start(const char *name, uint32_t uid, const mps_limits *limits,
                             uint64_t devices);
gs_mps_server *mps_server_entry(const mps_server *server); /* NULL once its process is gone */
mps_server *mps_server_by_pid(pid_t pid);
mps_server *mps_server_by_name(const char *name);
mps_server *mps_server_by_uid(uint32_t uid);
/* Terminated ones are none. */
bool mps_is_client(const gs_mps_client *client, const mps_server *server);
int mps_server_clients(const mps_server *server);
void mps_server_stop(mps_server *server);
void mps_servers_forget_dead(void);

uint64_t mps_every_device(void); /* bit per device of the daemon */
bool mps_terminate_client(mps_server *server, pid_t pid); /* server NULL: of any */

#endif
