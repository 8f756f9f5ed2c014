/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/control/servers.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/slot.h"
#include "mps/config.h"
#include "mps/control/listen.h"
#include "mps/log.h"
#include "mps/paths.h"
#include "mps/state.h"

static int free_entry(void)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.image->servers[i].pid == 0)
            return i;
    return -1;
}

static mps_server *free_server(void)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (!mps.servers[i].used)
            return &mps.servers[i];
    return NULL;
}

static void set_number(const char *name, unsigned long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", value);
    setenv(name, text, 1);
}

/* In the child. The server's program is in the folder of the daemon's. */
static void become_server(const mps_server *server)
{
    sigset_t none;
    char path[PATH_MAX] = "", program[PATH_MAX + 32], log[GS_PATH + MPS_NAME + 1];
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        _exit(1);
    snprintf(program, sizeof program, "%s/nvidia-cuda-mps-server", dirname(path));
    snprintf(log, sizeof log, "%s%s%s", mps.log, server->name[0] != '\0' ? "/" : "", server->name);
    mps_make_directory(log);
    setenv("CUDA_MPS_LOG_DIRECTORY", log, 1);
    setenv("CUDA_MPS_PIPE_DIRECTORY", mps.pipe, 1);
    set_number("GPUSHARE_SIM_MPS_SERVER", (unsigned long long)server->index);
    set_number("GPUSHARE_SIM_MPS_UID", server->uid);
    set_number("GPUSHARE_SIM_MPS_DEVICES", server->devices);
    execl(program, "nvidia-cuda-mps-server", (char *)NULL);
    _exit(127);
}

static void describe(const mps_server *server)
{
    gs_mps_server *entry = &mps.image->servers[server->index];
    *entry = (gs_mps_server){.uid = server->uid,
                             .daemon = mps.self,
                             .state = GS_MPS_INITIALIZING,
                             .thread_percentage = server->limits.thread_percentage,
                             .priority = server->limits.priority == 1};
    if (entry->thread_percentage == 0)
        entry->thread_percentage = 100;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        entry->pinned_limit[i] = mps_limits_pinned(&server->limits, i);
    snprintf(entry->name, sizeof entry->name, "%s", server->name);
    entry->pid = server->pid;
    gs_entry_hold(mps.image, entry);
}

mps_server *mps_server_start(const char *name, uint32_t uid, const mps_limits *limits,
                             uint64_t devices)
{
    mps_server *server = free_server();
    const int index = free_entry();
    if (server == NULL || index < 0)
        return NULL;
    *server = (mps_server){
        .used = true, .uid = uid, .index = index, .limits = *limits, .devices = devices};
    snprintf(server->name, sizeof server->name, "%s", name);
    server->pid = fork();
    if (server->pid == 0)
        become_server(server);
    if (server->pid < 0) {
        server->used = false;
        return NULL;
    }
    describe(server);
    mps_log("Starting new server %d for user %u", (int)server->pid, uid);
    return server;
}

gs_mps_server *mps_server_entry(const mps_server *server)
{
    gs_mps_server *entry = &mps.image->servers[server->index];
    return server->used && server->pid != 0 && entry->pid == server->pid ? entry : NULL;
}

mps_server *mps_server_by_pid(pid_t pid)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used && mps.servers[i].pid == pid)
            return &mps.servers[i];
    return NULL;
}

mps_server *mps_server_by_name(const char *name)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used && strcmp(mps.servers[i].name, name) == 0)
            return &mps.servers[i];
    return NULL;
}

mps_server *mps_server_by_uid(uint32_t uid)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used && (mps.multiuser || mps.servers[i].uid == uid))
            return &mps.servers[i];
    return NULL;
}

bool mps_is_client(const gs_mps_client *client, const mps_server *server)
{
    return client->pid != 0 && !client->terminated && client->server == server->index;
}

int mps_server_clients(const mps_server *server)
{
    int count = 0;
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        count += mps_is_client(&mps.image->clients[i], server);
    return count;
}

/* Its remaining clients are terminated. */
void mps_server_stop(mps_server *server)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (mps.image->clients[i].pid != 0 && mps.image->clients[i].server == server->index)
            mps.image->clients[i].terminated = true;
    if (server->pid > 0)
        kill(server->pid, SIGTERM);
}

static void forget(mps_server *server, int status)
{
    gs_mps_server *entry = mps_server_entry(server);
    if (entry != NULL)
        memset(entry, 0, sizeof *entry);
    gs_entry_drop(mps.image, &mps.image->servers[server->index]);
    if (WIFEXITED(status))
        mps_log("Server %d exited with status %d", (int)server->pid, WEXITSTATUS(status));
    else
        mps_log("Server %d was killed by signal %d", (int)server->pid, WTERMSIG(status));
    if (server->name[0] != '\0')
        mps_unlisten((int)(server - mps.servers), NULL);
    server->used = false;
}

void mps_servers_forget_dead(void)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++) {
        int status = 0;
        mps_server *server = &mps.servers[i];
        if (server->used && waitpid(server->pid, &status, WNOHANG) == server->pid)
            forget(server, status);
    }
}

uint64_t mps_every_device(void)
{
    uint64_t devices = 0;
    for (int i = 0; i < mps.device_count; i++)
        devices |= 1ull << mps.devices[i];
    return devices;
}

bool mps_terminate_client(mps_server *server, pid_t pid)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++) {
        gs_mps_client *client = &mps.image->clients[i];
        if (client->pid != pid || client->terminated
            || (server != NULL && client->server != server->index))
            continue;
        client->terminated = true;
        return true;
    }
    return false;
}
