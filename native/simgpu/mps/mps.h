// SPDX-License-Identifier: Apache-2.0
// The simulated MPS control daemon: what its parts share. One daemon per process, so its state is one value.
#ifndef GS_SIM_MPS_H
#define GS_SIM_MPS_H

#include "machine/image.h"
#include "machine/mps_protocol.h"

#include <stdio.h>

enum {
    MPS_MAX_LISTENERS = 64,
    MPS_MAX_PEERS = 512,
    MPS_MAX_PINNED = 32,
    MPS_MAX_PARTITIONS = 32,
    MPS_NAME = 72,
    MPS_MAX_WORDS = 32,
};

// What a client is bound by. thread_percentage 0 and priority MPS_UNSET: nothing was set.
enum { MPS_UNSET = -1 };
typedef struct {
    uint32_t thread_percentage;
    int32_t priority;
    // In the order they were set: a UUID and an ordinal of one device are two entries, the last one wins.
    struct {
        char device[64];
        uint64_t bytes; // GS_NO_LIMIT: removed
    } pinned[MPS_MAX_PINNED];
} mps_limits;

// A server the daemon has started, or (v3) a name clients may connect to.
typedef struct {
    bool used;
    char name[MPS_NAME]; // empty in v2
    uint32_t uid;
    int index; // in image.servers[]
    pid_t pid;
    mps_limits limits;
    uint64_t devices;
} mps_server;

// A namespace of a v3 server, or the daemon's own socket (server -1, which routes by uid).
typedef struct {
    int fd;
    bool route_only; // <server>/control leads to the default namespace
    int server;      // in mps.servers[]
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

extern int gs_image_fd; // image.c

typedef struct {
    gs_image *image;
    int image_fd;
    int self; // in image.daemons[]
    int protocol;
    bool multiuser, static_partitioning, quitting;
    uint64_t quit_at; // CLOCK_MONOTONIC ns; 0: when the last client has left
    const char *apply; // v3: a configuration to start with
    char pipe[GS_PATH], log[GS_PATH];
    int devices[GS_MAX_DEVICES], device_count; // ordinal -> index in the image
    mps_limits defaults;
    mps_server servers[GS_MAX_MPS_SERVERS];
    mps_listener listeners[MPS_MAX_LISTENERS];
    mps_peer peers[MPS_MAX_PEERS];
    mps_partition partitions[MPS_MAX_PARTITIONS];
    int next_partition;
    bool feature_memacct, feature_context_share;
} mps_state;
extern mps_state mps;

// mps_config.c: quantities, devices, limits
bool mps_parse_bytes(const char *text, uint64_t *bytes);
bool mps_parse_percent(const char *text, uint32_t *percent);
bool mps_parse_pid(const char *text, pid_t *pid);
int mps_device_of(const char *text); // ordinal of the daemon or UUID -> index in the image, -1: none
void mps_find_devices(const char *visible);
void mps_limits_clear(mps_limits *limits);
bool mps_limits_pin(mps_limits *limits, const char *device, uint64_t bytes);
bool mps_limits_pin_list(mps_limits *limits, const char *text); // "0=4G,GPU-...=512M"
uint64_t mps_limits_pinned(const mps_limits *limits, int device);
void mps_limits_from_environment(mps_limits *limits);

// mps_servers.c: the servers of this daemon; all of them under the image's lock
mps_server *mps_server_start(const char *name, uint32_t uid, const mps_limits *limits, uint64_t devices);
gs_mps_server *mps_server_entry(const mps_server *server); // NULL once its process is gone
mps_server *mps_server_by_pid(pid_t pid);
mps_server *mps_server_by_name(const char *name);
mps_server *mps_server_by_uid(uint32_t uid);
bool mps_is_client(const gs_mps_client *client, const mps_server *server); // terminated ones are none
int mps_server_clients(const mps_server *server);
void mps_server_stop(mps_server *server);
void mps_servers_forget_dead(void);

// mps_clients.c: connections and the clients behind them
void mps_peer_request(mps_peer *peer);
void mps_peer_drop(mps_peer *peer);
void mps_serve_pending(void);
bool mps_terminate_client(mps_server *server, pid_t pid);

// mps_listen.c: sockets in the pipe directory
bool mps_listen(int server, const char *name, const char *directory, const mps_limits *limits, bool route_only);
void mps_unlisten(int server, const char *name); // name NULL: every socket of the server

// mps_v2.c, mps_v3.c: the two dialects. The answer goes to `out`.
void mps_v2(char *line, FILE *out);
void mps_v3(char *line, FILE *out);
bool mps_v3_apply(const char *file, FILE *errors);
int mps_words(char *line, char **words); // splits in place; returns how many

// mps_partition.c
bool mps_partition_add(int device, uint32_t chunks, char *name, size_t size);
bool mps_partition_remove(int device, int id);
void mps_sm_partition(int count, char **words, FILE *out);
void mps_lspart(int count, char **words, FILE *out);

// mps_log.c
void mps_log_open(const char *directory, const char *file, const char *role);
void mps_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

// mps_paths.c
void mps_make_directory(const char *path);
void mps_directories(char *pipe, char *log, int protocol);
bool mps_machine_gone(int image_fd); // the image was removed: nobody can want this process any more

int mps_daemon_run(int ready);
int mps_tool_run(int argc, char **argv);

#endif
