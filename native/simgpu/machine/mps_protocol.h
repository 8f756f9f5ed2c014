/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: messages between a CUDA process, or the control tool, and the MPS daemon: one request
 *   and one reply over AF_UNIX SOCK_SEQPACKET at <CUDA_MPS_PIPE_DIRECTORY>/control.
 * Owner: the connection is the client: the daemon sees it leave when the connection closes.
 * Threads: a client sends one request per connection.
 * Limits: the daemon takes pid and uid from the kernel (SO_PEERCRED), not from the request.
 *
 * The daemon starts or chooses a server, fills image.clients[] and answers with the indices. Limits
 * travel through the image: the client uses the smaller thread percentage of its environment and
 * the server, and its own pinned-memory limit, if it has one, before the server's, as the real
 * client does.
 */
#ifndef GS_SIM_MPS_PROTOCOL_H
#define GS_SIM_MPS_PROTOCOL_H

#include <stdint.h>

#define GS_MPS_MAGIC 0x53504d47u /* "GMPS" */

enum { GS_MPS_PROTOCOL = 1, GS_MPS_DEFAULT_PRIORITY = -1 };

typedef enum {
    GS_MPS_CONNECT = 1, /* a CUDA process; reply: gs_mps_reply */
    GS_MPS_COMMAND = 2, /* the control tool; reply: text packets, then an empty one */
} gs_mps_verb;

typedef struct gs_mps_request {
    uint32_t magic, protocol, verb;
    int32_t pid;
    uint32_t uid;
    int32_t slot;              /* index in image.slots[] */
    int32_t thread_percentage; /* CUDA_MPS_ACTIVE_THREAD_PERCENTAGE; 0: not set */
    int32_t priority;          /* CUDA_MPS_CLIENT_PRIORITY; GS_MPS_DEFAULT_PRIORITY: not set */
    char text
        /* Connect: CUDA_MPS_PINNED_DEVICE_MEM_LIMIT, may be empty; command: the command line. */
        [512];
} gs_mps_request;

typedef struct gs_mps_reply {
    uint32_t magic;
    int32_t
        /*
         * CUresult: 0, 805 no server, 807 server not ready (fault), 808 too many clients, 800 other
         * user.
         */
        result;
    int32_t server_pid;
    int32_t server; /* index in image.servers[] */
    int32_t client; /* index in image.clients[] */
    int32_t reserved[3];
} gs_mps_reply;

/* A socket to the daemon of that pipe directory; -1: none. */
int gs_mps_connect(const char *directory);

#endif
