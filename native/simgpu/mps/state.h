/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the state of the control daemon, as one value, because a process has one daemon.
 * Owner: mps/daemon; the server's process uses only the image.
 * Threads: one. Functions that read the image run under its lock.
 * Limits: the MPS_MAX_* constants.
 *
 * Model
 * 1. A peer is a connection: a CUDA process that asks for a server, or the control tool with one
 *    command.
 * 2. A listener is a socket in the pipe directory: the daemon's own, which chooses the server by
 *    user (v2), or one of a server's namespace (v3).
 * 3. A server is a child process with an entry in image.servers[]. It exists while its process
 *    does.
 * 4. A client is an entry in image.clients[] that names its slot and server. It ends with its slot
 *    (machine/slot.h).
 * 5. Limits apply to clients that connect after they were set.
 */
#ifndef GS_SIM_MPS_STATE_H
#define GS_SIM_MPS_STATE_H

#include <stdio.h>
#include "machine/image.h"
#include "machine/mps_protocol.h"

enum {
    MPS_MAX_LISTENERS = 64,
    MPS_MAX_PEERS = 512,
    MPS_MAX_PINNED = 32,
    MPS_MAX_PARTITIONS = 32,
    MPS_NAME = 72,
    MPS_MAX_WORDS = 32,
};

/* What a client is bound by. thread_percentage 0 and priority MPS_UNSET: nothing was set. */
enum { MPS_UNSET = -1 };
typedef struct {
    uint32_t thread_percentage;
    int32_t priority;
    /*
     * In the order they were set: a UUID and an ordinal of one device are two entries, the last one
     * wins.
     */
    struct {
        char device[64];
        uint64_t bytes; /* GS_NO_LIMIT: removed */
    } pinned[MPS_MAX_PINNED];
} mps_limits;

/* A server the daemon has started, or (v3) a name clients may connect to. */
typedef struct {
    bool used;
    char name[MPS_NAME]; /* empty in v2 */
    uint32_t uid;
    int index; /* in image.servers[] */
    pid_t pid;
    mps_limits limits;
    uint64_t devices;
} mps_server;

/* A namespace of a v3 server, or the daemon's own socket (server -1, which routes by uid). */
typedef struct {
    int fd;
    bool route_only; /* <server>/control leads to the default namespace */
    int server; /* in mps.servers[] */
    char name[MPS_NAME];
    char path[GS_PATH];
    mps_limits limits;
} mps_listener;

typedef enum { PEER_FREE = 0, PEER_SILENT, PEER_PENDING, PEER_CLIENT } mps_peer_state;
typedef struct {
    mps_peer_state state;
    int fd, listener, client;
    bool logged;
    gs_mps_request request;
} mps_peer;

typedef struct {
    int device, id;
    uint32_t chunks;
} mps_partition;

typedef struct {
    gs_image *image;
    int image_fd;
    int self; /* in image.daemons[] */
    int protocol;
    bool multiuser, static_partitioning, quitting;
    uint64_t quit_at; /* CLOCK_MONOTONIC ns; 0: when the last client has left */
    const char *apply; /* v3: a configuration to start with */
    char pipe[GS_PATH], log[GS_PATH];
    int devices[GS_MAX_DEVICES], device_count; /* ordinal -> index in the image */
    mps_limits defaults;
    mps_server servers[GS_MAX_MPS_SERVERS];
    mps_listener listeners[MPS_MAX_LISTENERS];
    mps_peer peers[MPS_MAX_PEERS];
    mps_partition partitions[MPS_MAX_PARTITIONS];
    int next_partition;
    bool feature_memacct, feature_context_share;
} mps_state;
extern mps_state mps;

#endif
