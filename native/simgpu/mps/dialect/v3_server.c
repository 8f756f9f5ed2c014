/* SPDX-License-Identifier: Apache-2.0 */
/* v3: named servers and their namespaces. */
#include "mps/dialect/v3_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mps/config.h"
#include "mps/control/listen.h"
#include "mps/control/servers.h"
#include "mps/dialect/v3_call.h"
#include "mps/state.h"

static const mps_limits unlimited = {.priority = MPS_UNSET};

uint64_t v3_devices(const char *list)
{
    uint64_t devices = 0;
    char text[1024], *rest = text, *token;
    if (list == NULL)
        return mps_every_device();
    snprintf(text, sizeof text, "%s", list);
    while ((token = strsep(&rest, ",")) != NULL) {
        const int device = mps_device_of(token);
        if (device >= 0)
            devices |= 1ull << device;
    }
    return devices;
}

enum { LONG_PATH = GS_PATH + 2 * MPS_NAME + 2 };

static void directory_of(char *path, const char *server, const char *space)
{
    snprintf(path, LONG_PATH, "%s/%s%s%s", mps.pipe, server, space[0] != '\0' ? "/" : "", space);
}

bool v3_namespace_create(int server, const char *name, const mps_limits *limits)
{
    char path[LONG_PATH];
    directory_of(path, mps.servers[server].name, name);
    return mps_listen(server, name, path, limits, false);
}

mps_server *v3_server_create(const char *name, uint32_t uid, const mps_limits *limits,
                             uint64_t devices)
{
    char path[LONG_PATH];
    mps_server *server = mps_server_start(name, uid, limits, devices);
    if (server == NULL)
        return NULL;
    const int index = (int)(server - mps.servers);
    directory_of(path, name, "");
    if (mps_listen(index, "", path, &unlimited, true)
        && v3_namespace_create(index, "default", limits))
        return server;
    mps_server_stop(server);
    return NULL;
}

static const char *name_of(const v3_call *call)
{
    const char *name = v3_option(call, "--name");
    return name != NULL ? name : call->name_count > 0 ? call->names[0] : "";
}

static mps_server *find(const v3_call *call, const char *name)
{
    mps_server *server = name[0] == '\0' ? NULL : mps_server_by_name(name);
    if (server == NULL)
        v3_error(call, "no server \"%s\"", name);
    return server;
}

static void create(const v3_call *call)
{
    const char *uid = v3_option(call, "--uid");
    mps_limits limits = mps.defaults;
    char implicit[MPS_NAME];
    const uint32_t owner = uid != NULL ? (uint32_t)strtoul(uid, NULL, 10) : (uint32_t)geteuid();
    const char *name = name_of(call);
    snprintf(implicit, sizeof implicit, "uid_%u", owner);
    if (name[0] == '\0')
        name = implicit;
    if (!v3_is_name(name))
        v3_error(call, "invalid name \"%s\"", name);
    else if (mps_server_by_name(name) != NULL)
        v3_error(call, "server \"%s\" exists", name);
    else if (v3_limits(call, &limits)
             && v3_server_create(name, owner, &limits,
                                 v3_devices(v3_option(call, "--allowed-devices")))
                    == NULL)
        v3_error(call, "cannot start server \"%s\"", name);
}

static void list(const v3_call *call)
{
    static const char *const states[] = {"INITIALIZING", "ACTIVE", "FAULT"};
    v3_header(
        call,
        "name,pid,uid,status,active_thread_percentage,pinned_memory_limit,client_priority,clients");
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        const mps_server *server = &mps.servers[i];
        if (!server->used || mps_server_entry(server) == NULL)
            continue;
        snprintf(cells[0], V3_CELL, "%s", server->name);
        snprintf(cells[1], V3_CELL, "%d", (int)server->pid);
        snprintf(cells[2], V3_CELL, "%u", server->uid);
        snprintf(cells[3], V3_CELL, "%s", states[mps_server_entry(server)->state]);
        v3_show_limits(&server->limits, cells + 4);
        snprintf(cells[7], V3_CELL, "%d", mps_server_clients(server));
        v3_row(call, V3_COLUMNS, cells);
    }
}

/* Applies to clients that connect later. */
static void set(const v3_call *call)
{
    mps_server *server = find(call, name_of(call));
    if (server == NULL || !v3_limits(call, &server->limits))
        return;
    gs_mps_server *entry = mps_server_entry(server);
    if (entry == NULL)
        return;
    if (server->limits.thread_percentage != 0)
        entry->thread_percentage = server->limits.thread_percentage;
    entry->priority = server->limits.priority == 1;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        entry->pinned_limit[i] = mps_limits_pinned(&server->limits, i);
}

static void delete(const v3_call *call)
{
    mps_server *server = find(call, name_of(call));
    if (server != NULL)
        mps_server_stop(server);
}

void v3_server(v3_call *call)
{
    if (strcmp(call->verb, "create") == 0)
        create(call);
    else if (strcmp(call->verb, "list") == 0 || strcmp(call->verb, "get") == 0)
        list(call);
    else if (strcmp(call->verb, "set") == 0)
        set(call);
    else if (strcmp(call->verb, "delete") == 0)
        delete(call);
    else
        v3_unknown_verb(call);
}

static mps_listener *find_space(int server, const char *name)
{
    for (int i = 0; i < MPS_MAX_LISTENERS; i++) {
        mps_listener *listener = &mps.listeners[i];
        if (listener->path[0] != '\0' && listener->server == server && !listener->route_only
            && strcmp(listener->name, name) == 0)
            return listener;
    }
    return NULL;
}

static void space_list(const v3_call *call)
{
    const char *only = v3_option(call, "--server");
    v3_header(call, "server,name,active_thread_percentage,pinned_memory_limit,client_priority");
    for (int i = 0; i < MPS_MAX_LISTENERS; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        const mps_listener *listener = &mps.listeners[i];
        if (listener->path[0] == '\0' || listener->server < 0 || listener->route_only)
            continue;
        const mps_server *server = &mps.servers[listener->server];
        if (only != NULL && strcmp(only, server->name) != 0)
            continue;
        snprintf(cells[0], V3_CELL, "%s", server->name);
        snprintf(cells[1], V3_CELL, "%s", listener->name);
        v3_show_limits(strcmp(listener->name, "default") == 0 ? &server->limits : &listener->limits,
                       cells + 2);
        v3_row(call, 5, cells);
    }
}

static void space_create(const v3_call *call, int server, const char *name)
{
    mps_limits limits = unlimited;
    if (!v3_is_name(name))
        v3_error(call, "invalid name \"%s\"", name);
    else if (find_space(server, name) != NULL)
        v3_error(call, "namespace \"%s\" exists", name);
    else if (v3_limits(call, &limits) && !v3_namespace_create(server, name, &limits))
        v3_error(call, "cannot create namespace \"%s\"", name);
}

static void space_change(const v3_call *call, int server, const char *name)
{
    mps_listener *listener = find_space(server, name);
    if (listener == NULL)
        v3_error(call, "no namespace \"%s\"", name);
    else if (strcmp(call->verb, "set") == 0)
        v3_limits(call, &listener->limits);
    else if (strcmp(name, "default") == 0)
        v3_error(call, "the default namespace stays");
    else
        mps_unlisten(server, name);
}

void v3_namespace(v3_call *call)
{
    if (strcmp(call->verb, "list") == 0 || strcmp(call->verb, "get") == 0) {
        space_list(call);
        return;
    }
    const char *owner = v3_option(call, "--server");
    const mps_server *server = find(call, owner == NULL ? "" : owner);
    if (server == NULL)
        return;
    const int index = (int)(server - mps.servers);
    if (strcmp(call->verb, "create") == 0)
        space_create(call, index, name_of(call));
    else if (strcmp(call->verb, "set") == 0 || strcmp(call->verb, "delete") == 0)
        space_change(call, index, name_of(call));
    else
        v3_unknown_verb(call);
}
