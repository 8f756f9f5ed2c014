/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/mps_client.h"

#include "cuda/core/device.h"
#include "machine/mps_protocol.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

static gs_mps_request connect_request(void)
{
    const char *pinned = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
    gs_mps_request request = {.magic = GS_MPS_MAGIC,
                              .protocol = GS_MPS_PROTOCOL,
                              .verb = GS_MPS_CONNECT,
                              .pid = getpid(),
                              .uid = getuid(),
                              .slot = (int)(sim.slot - sim.image->slots),
                              .thread_percentage = number("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", 0),
                              .priority =
                                  number("CUDA_MPS_CLIENT_PRIORITY", GS_MPS_DEFAULT_PRIORITY)};
    snprintf(request.text, sizeof request.text, "%s", pinned ? pinned : "");
    return request;
}

static uint64_t quantity(const char *text)
{
    char *unit;
    uint64_t value = strtoull(text, &unit, 10);
    switch (*unit | 0x20) {
    case 'g': return value << 30;
    case 'm': return value << 20;
    case 'k': return value << 10;
    default: return value;
    }
}

/* "0=4G,GPU-...=2048M". False when an entry names a device this process does not see. */
static bool read_limits(const char *text, uint64_t *limit)
{
    char list[512], *rest = list, *entry;
    snprintf(list, sizeof list, "%s", text);
    while ((entry = strsep(&rest, ","))) {
        char *value = strchr(entry, '='), *end;
        if (!value)
            continue;
        *value++ = '\0';
        long ordinal = strtol(entry, &end, 10);
        if (*end || end == entry)
            ordinal = gs_ordinal_of(gs_device_by_uuid(sim.image, entry));
        if (ordinal < 0 || ordinal >= sim.count)
            return false;
        limit[sim.visible[ordinal]] = quantity(value);
    }
    return true;
}

/*
 * An entry for an invisible device drops every limit without an error, as the real driver does
 * (580, H200).
 */
static void limit_memory(gs_mps_client *client)
{
    const char *text = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
    if (!text || !*text || read_limits(text, client->pinned_limit))
        return;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        client->pinned_limit[i] = GS_NO_LIMIT;
}

bool gs_mps_serves(const gs_mps_server *server, int device)
{
    uint64_t devices = sim.image->daemons[server->daemon].devices;
    int parent = sim.image->devices[device].parent;
    return (devices >> device & 1) || (parent >= 0 && (devices >> parent & 1));
}

/* A client sees the devices its server sees. */
static void see_only_served(const gs_mps_server *server)
{
    int count = 0;
    for (int i = 0; i < sim.count; i++)
        if (gs_mps_serves(server, sim.visible[i]))
            sim.visible[count++] = sim.visible[i];
    sim.count = count;
}

CUresult gs_mps_join(void)
{
    gs_mps_request request = connect_request();
    gs_mps_reply reply = {0};
    const char *directory = getenv("CUDA_MPS_PIPE_DIRECTORY");
    int fd = gs_mps_connect(directory && *directory ? directory : "/tmp/nvidia-mps");
    if (fd < 0)
        /* No daemon: the process uses the GPU without MPS, as on a real machine. */
        return CUDA_SUCCESS;
    ssize_t received = -1;
    if (send(fd, &request, sizeof request, MSG_NOSIGNAL) == sizeof request)
        do
            received = recv(fd, &reply, sizeof reply, 0);
        while (received < 0 && errno == EINTR);
    if (received != sizeof reply || reply.magic != GS_MPS_MAGIC || reply.result != 0
        || reply.client < 0 || reply.client >= GS_MAX_MPS_CLIENTS) {
        close(fd);
        return received == sizeof reply && reply.result ? (CUresult)reply.result
                                                        : CUDA_ERROR_MPS_CONNECTION_FAILED;
    }
    gs_image_lock(sim.image);
    sim.slot->mps_client = reply.client;
    see_only_served(&sim.image->servers[sim.image->clients[reply.client].server]);
    limit_memory(&sim.image->clients[reply.client]);
    gs_image_unlock(sim.image);
    sim.mps_socket = fd;
    return sim.count > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

gs_mps_client *gs_mps_self(void)
{
    return sim.slot && sim.slot->mps_client >= 0 ? &sim.image->clients[sim.slot->mps_client] : NULL;
}

/*
 * SMs a client sees: the percentage rounded down to a pair, at least 8. On 132 SMs 5, 10, 25, 50,
 * 75 % are 8, 12, 32, 66, 98 (H200, driver 580); on 188 SMs 25 % are 46.
 */
uint32_t gs_mps_sms(const gs_device *device)
{
    const gs_mps_client *client = gs_mps_self();
    if (!client || !client->thread_percentage || client->thread_percentage >= 100)
        return device->sms;
    uint32_t share = device->sms * client->thread_percentage / 100 & ~1u;
    return MIN(device->sms, MAX(share, 8u));
}

bool gs_mps_neighbor(const gs_slot *other)
{
    const gs_mps_client *client = gs_mps_self();
    return client && other->mps_client >= 0
           && sim.image->clients[other->mps_client].server == client->server;
}

CUresult gs_mps_health(uint64_t *seen)
{
    const gs_mps_client *client = gs_mps_self();
    if (!client)
        return CUDA_SUCCESS;
    const gs_mps_server *server = &sim.image->servers[client->server];
    if (client->terminated)
        return CUDA_ERROR_MPS_CLIENT_TERMINATED;
    if (server->fault_seq == *seen)
        return CUDA_SUCCESS;
    /* The fault is fatal to every client with a context on a device of the fault. */
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (server->fault_devices >> i & 1 && sim.slot->use[i].contexts)
            return (CUresult)sim.image->devices[i].fault_result;
    *seen = server->fault_seq;
    return CUDA_SUCCESS;
}
