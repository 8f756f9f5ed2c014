/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CUDA process as the MPS daemon sees one: claims a slot, asks for a server, prints the reply and
 * runs until its standard input ends. `fault` on standard input raises a fault on device 0 as this
 * client.
 */
#include "machine/image.h"
#include "machine/mps_protocol.h"
#include "machine/fault.h"
#include "machine/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static gs_slot *use_device(gs_image *image)
{
    gs_image_lock(image);
    gs_slot *slot = gs_slot_mine(image);
    slot->use[0].bytes = 64ull << 20;
    slot->use[0].contexts = 1;
    gs_image_unlock(image);
    return slot;
}

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : otherwise;
}

static void report(gs_image *image, gs_slot *slot, const gs_mps_reply *reply)
{
    gs_image_lock(image);
    if (reply->result == 0)
        slot->mps_client = reply->client;
    const gs_mps_client *client = reply->result == 0 ? &image->clients[reply->client] : NULL;
    printf("result=%d server=%d threads=%u priority=%d pinned=%llu namespace=%s\n", reply->result,
           reply->server_pid, client != NULL ? client->thread_percentage : 0,
           client != NULL ? client->priority : 0,
           client != NULL ? (unsigned long long)client->pinned_limit[0] : 0,
           client != NULL ? client->name_space : "");
    fflush(stdout);
    gs_image_unlock(image);
}

int main(void)
{
    char line[64];
    gs_mps_reply reply = {0};
    gs_image *image = gs_image_attach();
    const int fd = gs_mps_connect(getenv("CUDA_MPS_PIPE_DIRECTORY"));
    if (image == NULL || fd < 0)
        return printf("no daemon\n") < 0;
    gs_slot *slot = use_device(image);
    const gs_mps_request request = {.magic = GS_MPS_MAGIC,
                                    .protocol = GS_MPS_PROTOCOL,
                                    .verb = GS_MPS_CONNECT,
                                    .pid = getpid(),
                                    .uid = getuid(),
                                    .slot = (int)(slot - image->slots),
                                    .thread_percentage =
                                        number("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", 0),
                                    .priority = number("CUDA_MPS_CLIENT_PRIORITY",
                                                       GS_MPS_DEFAULT_PRIORITY)};
    if (send(fd, &request, sizeof request, 0) != sizeof request)
        return 1;
    if (recv(fd, &reply, sizeof reply, 0) != sizeof reply)
        return printf("no reply\n") < 0;
    report(image, slot, &reply);
    while (fgets(line, sizeof line, stdin) != NULL)
        if (strcmp(line, "fault\n") == 0) {
            gs_image_lock(image);
            gs_device_fault(image, 0, getpid(), 31, 700);
            gs_image_unlock(image);
        }
    return 0;
}
