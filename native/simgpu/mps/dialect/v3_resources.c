/* SPDX-License-Identifier: Apache-2.0 */
/* v3: clients, devices, partitions, features, memory accounting. */
#include "mps/dialect/v3_resources.h"

#include <stdlib.h>
#include <string.h>

#include "machine/cgroup.h"
#include "mps/config.h"
#include "mps/control/partition.h"
#include "mps/control/servers.h"
#include "mps/dialect/v3_call.h"
#include "mps/state.h"

static void list_clients(const v3_call *call)
{
    const char *only = v3_option(call, "--server");
    v3_header(call, "pid,server,namespace,uid,active_thread_percentage,client_priority,command");
    for (int s = 0; s < GS_MAX_MPS_SERVERS; s++)
        for (int c = 0; c < GS_MAX_MPS_CLIENTS; c++) {
            char cells[V3_COLUMNS][V3_CELL];
            const mps_server *server = &mps.servers[s];
            const gs_mps_client *client = &mps.image->clients[c];
            if (!server->used || !mps_is_client(client, server))
                continue;
            if (only != NULL && strcmp(only, server->name) != 0)
                continue;
            snprintf(cells[0], V3_CELL, "%d", client->pid);
            snprintf(cells[1], V3_CELL, "%s", server->name);
            snprintf(cells[2], V3_CELL, "%s", client->name_space);
            snprintf(cells[3], V3_CELL, "%u", mps.image->slots[client->slot].uid);
            snprintf(cells[4], V3_CELL, "%u",
                     client->thread_percentage == 0 ? 100 : client->thread_percentage);
            snprintf(cells[5], V3_CELL, "%d", client->priority);
            snprintf(cells[6], V3_CELL, "%s", mps.image->slots[client->slot].name);
            v3_row(call, 7, cells);
        }
}

void v3_client(v3_call *call)
{
    pid_t pid;
    if (strcmp(call->verb, "list") == 0) {
        list_clients(call);
        return;
    }
    const char *name = v3_option(call, "--server");
    mps_server *server = name == NULL ? NULL : mps_server_by_name(name);
    const char *pid_text = call->name_count > 0 ? call->names[0] : "";
    if (strcmp(call->verb, "terminate") != 0)
        v3_unknown_verb(call);
    else if (name != NULL && server == NULL)
        v3_error(call, "no server \"%s\"", name);
    else if (!mps_parse_pid(pid_text, &pid) || !mps_terminate_client(server, pid))
        v3_error(call, "no client \"%s\"", pid_text);
}

static bool only_list(const v3_call *call)
{
    const bool list = strcmp(call->verb, "list") == 0;
    if (!list)
        v3_unknown_verb(call);
    return list;
}

void v3_device(v3_call *call)
{
    if (!only_list(call))
        return;
    v3_header(call, "ordinal,pci,uuid,name");
    for (int i = 0; i < mps.device_count; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        const gs_device *device = &mps.image->devices[mps.devices[i]];
        snprintf(cells[0], V3_CELL, "%d", i);
        snprintf(cells[1], V3_CELL, "%s", device->pci);
        snprintf(cells[2], V3_CELL, "%s", device->uuid);
        snprintf(cells[3], V3_CELL, "%s", device->name);
        v3_row(call, 4, cells);
    }
}

static void list_partitions(const v3_call *call)
{
    v3_header(call, "device,id,chunks,sms");
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        const mps_partition *partition = &mps.partitions[i];
        if (partition->chunks == 0)
            continue;
        const gs_device *device = &mps.image->devices[partition->device];
        snprintf(cells[0], V3_CELL, "%s", device->uuid);
        snprintf(cells[1], V3_CELL, "%d", partition->id);
        snprintf(cells[2], V3_CELL, "%u", partition->chunks);
        snprintf(cells[3], V3_CELL, "%u", partition->chunks * device->sm_chunk);
        v3_row(call, 4, cells);
    }
}

static int number(const v3_call *call, const char *key)
{
    const char *text = v3_option(call, key);
    return text == NULL ? 0 : atoi(text);
}

/* v3 has no mode for partitions: the first one enables them. */
void v3_sm_partition(v3_call *call)
{
    char name[96];
    const char *device_text = v3_option(call, "--device");
    const int device = mps_device_of(device_text == NULL ? "0" : device_text);
    if (strcmp(call->verb, "list") == 0) {
        list_partitions(call);
        return;
    }
    if (device < 0) {
        v3_error(call, "no device \"%s\"", device_text);
        return;
    }
    mps.static_partitioning = true;
    if (strcmp(call->verb, "create") == 0
        && mps_partition_add(device, (uint32_t)number(call, "--chunks"), name, sizeof name))
        fprintf(call->out, "%s\n", name);
    else if (strcmp(call->verb, "delete") != 0
             || !mps_partition_remove(device, number(call, "--id")))
        v3_error(call, "cannot %s the partition", call->verb);
}

bool v3_feature_set(const char *name, bool on)
{
    if (strcmp(name, "memacct") == 0)
        mps.feature_memacct = on;
    else if (strcmp(name, "context-share") == 0)
        mps.feature_context_share = on;
    else
        return false;
    return true;
}

static void list_features(const v3_call *call)
{
    const struct {
        const char *name;
        bool on;
    } features[] = {{"memacct", mps.feature_memacct}, {"context-share", mps.feature_context_share}};
    v3_header(call, "name,enabled");
    for (int i = 0; i < 2; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        snprintf(cells[0], V3_CELL, "%s", features[i].name);
        snprintf(cells[1], V3_CELL, "%s", features[i].on ? "true" : "false");
        v3_row(call, 2, cells);
    }
}

void v3_feature(v3_call *call)
{
    const char *name = call->name_count > 0 ? call->names[0] : "";
    const bool on = strcmp(call->verb, "enable") == 0;
    if (strcmp(call->verb, "list") == 0)
        list_features(call);
    else if (!on && strcmp(call->verb, "disable") != 0)
        v3_unknown_verb(call);
    else if (!v3_feature_set(name, on))
        v3_error(call, "no feature \"%s\"", name);
}

/* Each memory limit and its use, as the accounting backend counts it. */
void v3_memacct(v3_call *call)
{
    if (!only_list(call))
        return;
    v3_header(call, "cgroup,device,soft_mib,hard_mib,used_mib");
    for (int i = 0; i < GS_MAX_LIMITS; i++) {
        char cells[V3_COLUMNS][V3_CELL];
        const gs_limit *limit = &mps.image->limits[i];
        if (!limit->present)
            continue;
        snprintf(cells[0], V3_CELL, "%.150s", limit->cgroup);
        snprintf(cells[1], V3_CELL, "%s", mps.image->devices[limit->device].uuid);
        snprintf(cells[2], V3_CELL, "%llu", (unsigned long long)(limit->soft >> 20));
        if (limit->hard == GS_NO_LIMIT)
            snprintf(cells[3], V3_CELL, "max");
        else
            snprintf(cells[3], V3_CELL, "%llu", (unsigned long long)(limit->hard >> 20));
        snprintf(cells[4], V3_CELL, "%llu",
                 (unsigned long long)(gs_limit_used(mps.image, limit) >> 20));
        v3_row(call, 5, cells);
    }
}
