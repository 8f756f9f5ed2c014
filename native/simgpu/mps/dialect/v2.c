/* SPDX-License-Identifier: Apache-2.0 */
/* The v2 dialect: one command a line. Answers as driver 580 gives them where they are known. */
#include "mps/dialect/v2.h"

#include <stdlib.h>
#include <string.h>

#include "mps/config.h"
#include "mps/control/partition.h"
#include "mps/control/servers.h"
#include "mps/dialect/words.h"
#include "mps/log.h"
#include "mps/state.h"

typedef struct {
    const char *name;
    unsigned branch; /* the driver that introduced it */
    int least, most; /* words after the name */
    void (*run)(int count, char **words, FILE *out);
} command;

static mps_server *server_named(const char *text, FILE *out)
{
    pid_t pid;
    mps_server *server = mps_parse_pid(text, &pid) ? mps_server_by_pid(pid) : NULL;
    if (server != NULL && mps_server_entry(server) != NULL)
        return server;
    fprintf(out, "Failed to find server %s\n", text);
    return NULL;
}

static void invalid(const char *what, FILE *out)
{
    fprintf(out, "Failed: invalid value \"%s\"\n", what);
}

static void get_server_list(int count, char **words, FILE *out)
{
    (void)count, (void)words;
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used && mps_server_entry(&mps.servers[i]) != NULL)
            fprintf(out, "%d\n", (int)mps.servers[i].pid);
}

static void get_server_status(int count, char **words, FILE *out)
{
    static const char *const states[] = {"INITIALIZING", "ACTIVE", "FAULT"};
    (void)count;
    const mps_server *server = server_named(words[0], out);
    if (server != NULL)
        fprintf(out, "%s\n", states[mps_server_entry(server)->state]);
}

static void start_server(int count, char **words, FILE *out)
{
    char *end;
    const unsigned long uid = strtoul(words[1], &end, 10);
    if (strcmp(words[0], "-uid") != 0 || *end != '\0'
        || (count == 3 && strcmp(words[2], "-mlopart") != 0)) {
        invalid(words[count - 1], out);
        return;
    }
    /* Already running. */
    if (mps_server_by_uid((uint32_t)uid) != NULL)
        return;
    mps_server_start("", (uint32_t)uid, &mps.defaults, mps_every_device());
}

static void list_clients(const mps_server *server, FILE *out)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (mps_is_client(&mps.image->clients[i], server))
            fprintf(out, "%d\n", mps.image->clients[i].pid);
}

static void get_client_list(int count, char **words, FILE *out)
{
    (void)count;
    const mps_server *server = server_named(words[0], out);
    if (server != NULL)
        list_clients(server, out);
}

static void get_device_client_list(int count, char **words, FILE *out)
{
    const mps_server *only = count == 1 ? server_named(words[0], out) : NULL;
    if (count == 1 && only == NULL)
        return;
    for (int d = 0; d < mps.device_count; d++) {
        fprintf(out, "%s\n", mps.image->devices[mps.devices[d]].uuid);
        for (int s = 0; s < GS_MAX_MPS_SERVERS; s++)
            if (mps.servers[s].used && (only == NULL || only == &mps.servers[s])
                && (mps.servers[s].devices >> mps.devices[d] & 1) != 0)
                list_clients(&mps.servers[s], out);
    }
}

static void quit(int count, char **words, FILE *out)
{
    if (count == 1 || (count == 2 && strcmp(words[0], "-t") != 0)) {
        invalid(words[0], out);
        return;
    }
    if (count == 2)
        mps.quit_at = gs_now_ns() + strtoull(words[1], NULL, 10) * 1000000000ull + 1;
    mps.quitting = true;
}

static void set_default_percentage(int count, char **words, FILE *out)
{
    (void)count;
    if (mps_parse_percent(words[0], &mps.defaults.thread_percentage))
        fprintf(out, "%u.0\n", mps.defaults.thread_percentage);
    else
        invalid(words[0], out);
}

static void get_default_percentage(int count, char **words, FILE *out)
{
    (void)count, (void)words;
    fprintf(out, "%u.0\n",
            mps.defaults.thread_percentage == 0 ? 100 : mps.defaults.thread_percentage);
}

static void set_percentage(int count, char **words, FILE *out)
{
    uint32_t percent;
    (void)count;
    const mps_server *server = server_named(words[0], out);
    if (server == NULL)
        return;
    if (!mps_parse_percent(words[1], &percent)) {
        invalid(words[1], out);
        return;
    }
    mps_server_entry(server)->thread_percentage = percent;
    fprintf(out, "%u.0\n", percent);
}

static void get_percentage(int count, char **words, FILE *out)
{
    (void)count;
    const mps_server *server = server_named(words[0], out);
    if (server != NULL)
        fprintf(out, "%u.0\n", mps_server_entry(server)->thread_percentage);
}

/* Whole GiB, rounded down, as the real tool prints it (595.91.07). */
static void print_limit(uint64_t bytes, FILE *out)
{
    if (bytes != GS_NO_LIMIT)
        fprintf(out, "%lluG\n", (unsigned long long)(bytes >> 30));
}

static void set_default_memory(int count, char **words, FILE *out)
{
    uint64_t bytes = GS_NO_LIMIT;
    if (count == 2 && !mps_parse_bytes(words[1], &bytes))
        invalid(words[1], out);
    else if (!mps_limits_pin(&mps.defaults, words[0], bytes))
        invalid(words[0], out);
}

static void get_default_memory(int count, char **words, FILE *out)
{
    (void)count;
    for (int i = 0; i < MPS_MAX_PINNED; i++)
        if (strcmp(mps.defaults.pinned[i].device, words[0]) == 0)
            print_limit(mps.defaults.pinned[i].bytes, out);
}

static void set_memory(int count, char **words, FILE *out)
{
    uint64_t bytes = GS_NO_LIMIT;
    const mps_server *server = server_named(words[0], out);
    if (server == NULL)
        return;
    const int device = mps_device_of(words[1]);
    if (count == 3 && !mps_parse_bytes(words[2], &bytes))
        invalid(words[2], out);
    /* An unknown device is ignored. */
    else if (device >= 0)
        mps_server_entry(server)->pinned_limit[device] = bytes;
}

static void get_memory(int count, char **words, FILE *out)
{
    (void)count;
    const mps_server *server = server_named(words[0], out);
    const int device = mps_device_of(words[1]);
    if (server != NULL && device >= 0)
        print_limit(mps_server_entry(server)->pinned_limit[device], out);
}

static void terminate_client(int count, char **words, FILE *out)
{
    pid_t pid;
    (void)count;
    mps_server *server = server_named(words[0], out);
    if (server == NULL)
        return;
    if (mps_parse_pid(words[1], &pid) && mps_terminate_client(server, pid))
        fprintf(out, "0\n");
    else
        fprintf(out, "Failed to find client %s\n", words[1]);
}

static void print_process(const gs_mps_client *client, const mps_server *server, int device,
                          FILE *out)
{
    const gs_slot *slot = &mps.image->slots[client->slot];
    fprintf(out, "%-9d %-5d %-9d %-18.17s %-14u %s\n", client->pid, 0, (int)server->pid,
            mps.image->devices[device].uuid, 4026531836u, slot->name);
}

static void ps(int count, char **words, FILE *out)
{
    if (count == 1 || (count == 2 && strcmp(words[0], "-p") != 0)) {
        invalid(words[0], out);
        return;
    }
    const mps_server *only = count == 2 ? server_named(words[1], out) : NULL;
    if (count == 2 && only == NULL)
        return;
    fprintf(out, "%-9s %-5s %-9s %-18s %-14s %s\n", "PID", "ID", "SERVER", "DEVICE", "NAMESPACE",
            "COMMAND");
    for (int s = 0; s < GS_MAX_MPS_SERVERS; s++)
        for (int c = 0; c < GS_MAX_MPS_CLIENTS; c++) {
            const mps_server *server = &mps.servers[s];
            const gs_mps_client *client = &mps.image->clients[c];
            if (!server->used || (only != NULL && only != server) || !mps_is_client(client, server))
                continue;
            for (int d = 0; d < mps.device_count; d++)
                if (mps.image->slots[client->slot].use[mps.devices[d]].contexts > 0)
                    print_process(client, server, mps.devices[d], out);
        }
}

static void set_default_priority(int count, char **words, FILE *out)
{
    (void)count;
    if (strcmp(words[0], "0") != 0 && strcmp(words[0], "1") != 0)
        invalid(words[0], out);
    else
        mps.defaults.priority = words[0][0] - '0';
}

static void get_default_priority(int count, char **words, FILE *out)
{
    (void)count, (void)words;
    fprintf(out, "%d\n", mps.defaults.priority == 1);
}

static void device_query(int count, char **words, FILE *out)
{
    const bool csv = count > 0 && strcmp(words[count - 1], "--csv") == 0;
    const char *row = csv ? "%d,%s,%s,%s\n" : "%-8d %-14s %-42s %s\n";
    if (count - csv == 1 && server_named(words[0], out) == NULL)
        return;
    fprintf(out, csv ? "%s,%s,%s,%s\n" : "%-8s %-14s %-42s %s\n", "DEVICE", "PCI_ID", "UUID",
            "NAME");
    for (int i = 0; i < mps.device_count; i++) {
        const gs_device *device = &mps.image->devices[mps.devices[i]];
        fprintf(out, row, i, device->pci, device->uuid, device->name);
    }
}

static void sm_partition(int count, char **words, FILE *out)
{
    char name[96];
    const int device = mps_device_of(words[1]);
    const int value = count == 3 ? atoi(words[2]) : 0;
    if (device < 0 || value <= 0)
        fprintf(out, "Failed: invalid value \"%s\"\n", words[count - 1]);
    else if (strcmp(words[0], "add") == 0
             && mps_partition_add(device, (uint32_t)value, name, sizeof name))
        fprintf(out, "%s\n", name);
    else if (strcmp(words[0], "rm") != 0 || !mps_partition_remove(device, value))
        fprintf(out, "Failed to %s partition (static partitioning is %s)\n", words[0],
                mps.static_partitioning ? "on" : "off");
}

static void lspart(int count, char **words, FILE *out)
{
    (void)count, (void)words;
    fprintf(out, "%-42s %-10s %-8s %s\n", "GPU", "PARTITION", "CHUNKS", "SMS");
    for (int i = 0; i < MPS_MAX_PARTITIONS; i++) {
        const mps_partition *partition = &mps.partitions[i];
        if (partition->chunks == 0)
            continue;
        const gs_device *gpu = &mps.image->devices[partition->device];
        fprintf(out, "%-42s %-10d %-8u %u\n", gpu->uuid, partition->id, partition->chunks,
                partition->chunks * gpu->sm_chunk);
    }
}

static const command commands[] = {
    {"get_server_list", 0, 0, 0, get_server_list},
    {"get_server_status", 0, 1, 1, get_server_status},
    {"start_server", 0, 2, 3, start_server},
    {"get_client_list", 0, 1, 1, get_client_list},
    {"get_device_client_list", 0, 0, 1, get_device_client_list},
    {"quit", 0, 0, 2, quit},
    {"set_default_active_thread_percentage", 0, 1, 1, set_default_percentage},
    {"get_default_active_thread_percentage", 0, 0, 0, get_default_percentage},
    {"set_active_thread_percentage", 0, 2, 2, set_percentage},
    {"get_active_thread_percentage", 0, 1, 1, get_percentage},
    {"set_default_device_pinned_mem_limit", 0, 1, 2, set_default_memory},
    {"get_default_device_pinned_mem_limit", 0, 1, 1, get_default_memory},
    {"set_device_pinned_mem_limit", 0, 2, 3, set_memory},
    {"get_device_pinned_mem_limit", 0, 2, 2, get_memory},
    {"terminate_client", 0, 2, 2, terminate_client},
    {"ps", 0, 0, 2, ps},
    {"set_default_client_priority", 0, 1, 1, set_default_priority},
    {"get_default_client_priority", 0, 0, 0, get_default_priority},
    {"device_query", 0, 0, 2, device_query},
    {"sm_partition", 590, 2, 3, sm_partition},
    {"lspart", 590, 0, 0, lspart},
};

void mps_v2(char *line, FILE *out)
{
    char whole[sizeof((gs_mps_request *)0)->text], *words[MPS_MAX_WORDS];
    snprintf(whole, sizeof whole, "%s", line);
    const int count = mps_words(line, words);
    const unsigned branch = (unsigned)atoi(mps.image->driver);
    for (size_t i = 0; count > 0 && i < sizeof commands / sizeof *commands; i++) {
        const command *command = &commands[i];
        if (strcmp(command->name, words[0]) != 0 || command->branch > branch)
            continue;
        if (count - 1 < command->least || count - 1 > command->most)
            fprintf(out, "Failed: wrong number of arguments for \"%s\"\n", words[0]);
        else
            command->run(count - 1, words + 1, out);
        mps_log("%s", whole);
        return;
    }
    fprintf(out, "Unknown command \"%s\"\n", whole);
}
