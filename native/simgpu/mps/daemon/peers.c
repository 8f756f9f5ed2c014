/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: a CUDA process asks for a server, waits while there is none for it, and leaves by
 * closing.
 */
#include "mps/daemon/peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/image.h"
#include "machine/slot.h"
#include "mps/config.h"
#include "mps/control/servers.h"
#include "mps/dialect/v2.h"
#include "mps/dialect/v3.h"
#include "mps/log.h"
#include "mps/state.h"

enum {
    NO_SERVER = 805,
    SERVER_NOT_READY = 807,
    TOO_MANY_CLIENTS = 808,
    NOT_PERMITTED = 800,
    WAIT = -1,
    MOST_CLIENTS = 48, /* up to CUDA 13.0 */
    MOST_CLIENTS_13_1 = 60,
};

static void reply(mps_peer *peer, int result, const mps_server *server)
{
    const gs_mps_reply answer = {.magic = GS_MPS_MAGIC,
                                 .result = result,
                                 .server_pid = server == NULL ? 0 : (int32_t)server->pid,
                                 .server = server == NULL ? -1 : server->index,
                                 .client = peer->client};
    send(peer->fd, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool may_use(const mps_peer *peer)
{
    return geteuid() == 0 || mps.multiuser || peer->request.uid == geteuid();
}

static bool live_elsewhere(const mps_server *server, uint32_t uid)
{
    return server->used && mps_server_entry(server) != NULL && !mps.multiuser && server->uid != uid;
}

/*
 * v2 has one server at a time: another user's server must be empty and ended before this user's
 * starts.
 */
static bool others_run(uint32_t uid)
{
    bool running = false;
    for (int i = 0; mps.protocol == 2 && i < GS_MAX_MPS_SERVERS; i++)
        if (live_elsewhere(&mps.servers[i], uid)) {
            running = true;
            if (mps_server_clients(&mps.servers[i]) == 0)
                mps_server_stop(&mps.servers[i]);
        }
    return running;
}

static mps_server *start_for(uint32_t uid)
{
    char name[MPS_NAME] = "";
    if (mps.protocol == 3)
        snprintf(name, sizeof name, "uid_%u", uid);
    return mps_server_start(name, uid, &mps.defaults, mps_every_device());
}

static mps_server *route(const mps_peer *peer)
{
    const mps_listener *listener = &mps.listeners[peer->listener];
    if (listener->server >= 0)
        return &mps.servers[listener->server];
    mps_server *server = mps_server_by_uid(peer->request.uid);
    if (server == NULL && !others_run(peer->request.uid))
        server = start_for(peer->request.uid);
    return server;
}

static const mps_limits *space_limits(const mps_peer *peer, const mps_server *server,
                                      const char **name)
{
    const mps_listener *listener = &mps.listeners[peer->listener];
    *name = listener->server < 0 || listener->route_only ? "default" : listener->name;
    return listener->server < 0 || listener->route_only || strcmp(listener->name, "default") == 0
               ? &server->limits
               : &listener->limits;
}

static uint32_t lower(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

static void admit(mps_peer *peer, const mps_server *server)
{
    const char *name;
    const mps_limits *limits = space_limits(peer, server, &name);
    const gs_mps_server *entry = mps_server_entry(server);
    const uint32_t own =
        peer->request.thread_percentage > 0 ? (uint32_t)peer->request.thread_percentage : 0;
    gs_mps_client *client = &mps.image->clients[peer->client];
    *client = (gs_mps_client){.slot = peer->request.slot,
                              .server = server->index,
                              .priority = entry->priority};
    /*
     * v2: a client may only lower the server's percentage. v3: its namespace's percentage overrides
     * it.
     */
    client->thread_percentage = limits == &server->limits ? lower(own, entry->thread_percentage)
                                : limits->thread_percentage != 0 ? limits->thread_percentage
                                                                 : own;
    if (limits->priority != MPS_UNSET && limits != &server->limits)
        client->priority = limits->priority;
    if (peer->request.priority != GS_MPS_DEFAULT_PRIORITY)
        client->priority = peer->request.priority;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        client->pinned_limit[i] =
            limits == &server->limits ? entry->pinned_limit[i] : mps_limits_pinned(limits, i);
    snprintf(client->name_space, sizeof client->name_space, "%s", name);
    client->slot_pid = mps.image->slots[client->slot].pid;
    client->slot_start = mps.image->slots[client->slot].start_time;
    client->pid = peer->request.pid;
}

static int choose(mps_peer *peer, mps_server **server)
{
    if (mps.quitting || mps.image->slots[peer->request.slot].pid == 0)
        return NO_SERVER;
    if (!may_use(peer))
        return NOT_PERMITTED;
    *server = route(peer);
    if (*server == NULL)
        return WAIT;
    const gs_mps_server *entry = mps_server_entry(*server);
    if (entry == NULL || entry->state == GS_MPS_INITIALIZING)
        return WAIT;
    if (entry->state == GS_MPS_FAULT)
        return SERVER_NOT_READY;
    const int most = mps.image->cuda >= 13010 ? MOST_CLIENTS_13_1 : MOST_CLIENTS;
    return mps_server_clients(*server) >= most ? TOO_MANY_CLIENTS : 0;
}

static int free_client(void)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (mps.image->clients[i].pid == 0)
            return i;
    return -1;
}

static void serve(mps_peer *peer)
{
    mps_server *server = NULL;
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    peer->client = free_client();
    int result = choose(peer, &server);
    if (result == 0 && peer->client < 0)
        result = TOO_MANY_CLIENTS;
    if (result == 0)
        admit(peer, server);
    else
        peer->client = -1;
    gs_image_unlock(mps.image);
    if (!peer->logged)
        mps_log("NEW CLIENT %d from user %u: %s", peer->request.pid, peer->request.uid,
                result == WAIT ? "Server is not ready, push client to pending list"
                               : "Server already exists");
    peer->logged = true;
    peer->state = result == WAIT ? PEER_PENDING : PEER_CLIENT;
    if (result != WAIT)
        reply(peer, result, server);
}

void mps_serve_pending(void)
{
    for (int i = 0; i < MPS_MAX_PEERS; i++)
        if (mps.peers[i].state == PEER_PENDING)
            serve(&mps.peers[i]);
}

static void answer_command(mps_peer *peer)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return;
    peer->request.text[sizeof peer->request.text - 1] = '\0';
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    if (mps.protocol == 3)
        mps_v3(peer->request.text, out);
    else
        mps_v2(peer->request.text, out);
    gs_image_unlock(mps.image);
    fclose(out);
    const size_t packet = 4096;
    for (size_t at = 0; at < length; at += packet)
        send(peer->fd, text + at, length - at < packet ? length - at : packet, MSG_NOSIGNAL);
    free(text);
}

/* The kernel, not the request, names the caller. */
static bool identify(mps_peer *peer)
{
    struct ucred caller;
    socklen_t size = sizeof caller;
    if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) != 0)
        return false;
    peer->request.pid = caller.pid;
    peer->request.uid = caller.uid;
    return peer->request.magic == GS_MPS_MAGIC && peer->request.protocol == GS_MPS_PROTOCOL
           && peer->request.slot >= -1 && peer->request.slot < GS_MAX_SLOTS;
}

void mps_peer_drop(mps_peer *peer)
{
    gs_image_lock(mps.image);
    if (peer->state == PEER_CLIENT && peer->client >= 0)
        gs_image_reap(mps.image);
    gs_image_unlock(mps.image);
    close(peer->fd);
    peer->state = PEER_FREE;
}

/* Clients of every user connect to the socket, commands are for the daemon's user and root. */
static bool may_command(const mps_peer *peer)
{
    return peer->request.uid == 0 || peer->request.uid == geteuid();
}

void mps_peer_request(mps_peer *peer)
{
    const ssize_t received = recv(peer->fd, &peer->request, sizeof peer->request, MSG_DONTWAIT);
    if (received != sizeof peer->request || !identify(peer)) {
        if (received > 0)
            mps_log("User did not send valid credentials");
        mps_peer_drop(peer);
        return;
    }
    if (peer->request.verb == GS_MPS_CONNECT && peer->request.slot >= 0) {
        serve(peer);
        return;
    }
    if (!may_command(peer)) {
        mps_log("User did not send valid credentials");
        mps_peer_drop(peer);
        return;
    }
    answer_command(peer);
    if (!mps.quitting)
        mps_peer_drop(peer);
}
