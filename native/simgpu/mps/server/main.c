/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvidia-cuda-mps-server: holds the GPU for its clients and logs who connects, leaves and faults.
 */
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/image.h"
#include "machine/slot.h"
#include "mps/log.h"
#include "mps/paths.h"
#include "mps/state.h"

enum { POLL_MS = 100 };
/* About what NVML shows for a server without clients. */
static const uint64_t context_bytes = 30ull << 20;

static volatile sig_atomic_t end_requested;

typedef struct {
    pid_t pid;
    bool terminated;
} logged_client;
static logged_client logged[GS_MAX_MPS_CLIENTS];
static uint64_t logged_fault;

static void on_signal(int number)
{
    end_requested = number;
}

static uint64_t from_environment(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static bool drop_privileges(uint32_t uid)
{
    if (geteuid() != 0 || uid == 0)
        return true;
    return setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0;
}

static void announce(const gs_mps_server *server, uint64_t devices)
{
    int ordinal = 0;
    mps_log("Initializing server process");
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if ((devices >> i & 1) != 0)
            mps_log("Creating server context on device %d (%s)", ordinal++,
                    mps.image->devices[i].name);
    mps_log("CUDA MPS Server for Linux/Unix. Binary version: %u", mps.image->cuda);
    mps_log("Display Driver version: %.3s", mps.image->driver);
    mps_log("Active Threads Percentage set to %u.0", server->thread_percentage);
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (server->pinned_limit[i] != GS_NO_LIMIT)
            mps_log("Device pinned memory limit for device %d set to 0x%llx bytes", i,
                    (unsigned long long)server->pinned_limit[i]);
    mps_log("Server Priority set to %d", server->priority);
    mps_log("Server has started");
}

/* Memory but no CUDA context: on an exclusive GPU the clients' contexts count as the server's. */
static bool take_devices(uint64_t devices)
{
    gs_slot *slot = gs_slot_mine(mps.image);
    for (int i = 0; slot != NULL && i < GS_MAX_DEVICES; i++)
        if ((devices >> i & 1) != 0 && mps.image->devices[i].present)
            slot->use[i].bytes = context_bytes;
    return slot != NULL;
}

static void note_arrivals(int index)
{
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++) {
        const gs_mps_client *client = &mps.image->clients[i];
        const pid_t now = client->pid != 0 && client->server == index ? client->pid : 0;
        if (logged[i].pid != 0 && logged[i].pid != now)
            mps_log("Client {PID: %d, Context ID: 0} disconnected", (int)logged[i].pid);
        if (now != 0 && logged[i].pid != now) {
            mps_log("Received new client request for {PID: %d, Context ID: 0}", (int)now);
            mps_log("Client {PID: %d, Context ID: 0} connected", (int)now);
            logged[i].terminated = false;
        }
        logged[i].pid = now;
        if (now != 0 && client->terminated && !logged[i].terminated)
            mps_log("Client {PID: %d, Context ID: 0} was terminated by the control daemon",
                    (int)now);
        logged[i].terminated = client->terminated;
    }
}

static void note_faults(const gs_mps_server *server)
{
    if (server->fault_seq == logged_fault)
        return;
    logged_fault = server->fault_seq;
    /* The devices are cleared with the last client, which may have left before this check. */
    const int device = server->fault_devices != 0 ? __builtin_ctzll(server->fault_devices) : 0;
    mps_log("Client {PID: %d, Context ID: 0} raised a fatal GPU exception on device %s",
            server->fault_pid, mps.image->devices[device].uuid);
    mps_log("Server enters state FAULT until every connected client has left");
}

/* A server whose daemon has ended serves its clients until they leave: new ones cannot reach it. */
static bool needed(int index, const gs_mps_server *server)
{
    if (server->pid != getpid())
        return false;
    const gs_mps_daemon *daemon = &mps.image->daemons[server->daemon];
    if (daemon->pid != 0 && daemon->pid == getppid())
        return true;
    for (int i = 0; i < GS_MAX_MPS_CLIENTS; i++)
        if (mps.image->clients[i].pid != 0 && mps.image->clients[i].server == index)
            return true;
    return false;
}

static bool check(int index)
{
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    const gs_mps_server *server = &mps.image->servers[index];
    note_arrivals(index);
    note_faults(server);
    const bool stay = needed(index, server);
    gs_image_unlock(mps.image);
    return stay && end_requested == 0 && !mps_machine_gone(gs_image_fd);
}

static bool start(int index, uint64_t devices)
{
    gs_image_lock(mps.image);
    gs_mps_server *server = &mps.image->servers[index];
    gs_entry_hold(mps.image, server);
    const bool ready = server->pid == getpid() && devices != 0 && take_devices(devices);
    if (ready) {
        announce(server, devices);
        server->state = GS_MPS_ACTIVE;
        logged_fault = server->fault_seq;
    } else {
        mps_log("Failed to initialize: no CUDA-capable device is detected");
    }
    gs_image_unlock(mps.image);
    return ready;
}

int main(void)
{
    const int index = (int)from_environment("GPUSHARE_SIM_MPS_SERVER");
    const char *log = getenv("CUDA_MPS_LOG_DIRECTORY");
    mps.image = gs_image_attach();
    if (mps.image == NULL || getenv("GPUSHARE_SIM_MPS_SERVER") == NULL || index < 0
        || index >= GS_MAX_MPS_SERVERS) {
        fprintf(stderr, "nvidia-cuda-mps-server is started by nvidia-cuda-mps-control\n");
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, SIG_IGN);
    mps_log_open(log != NULL ? log : "/var/log/nvidia-mps", "server.log", "Server");
    mps_log("Startup");
    if (!drop_privileges((uint32_t)from_environment("GPUSHARE_SIM_MPS_UID")))
        return 1;
    if (!start(index, from_environment("GPUSHARE_SIM_MPS_DEVICES")))
        return 1;
    while (check(index))
        usleep(POLL_MS * 1000);
    mps_log("Server is shutting down");
    return 0;
}
