/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/control/listen.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mps/paths.h"
#include "mps/state.h"

static int bind_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    unlink(path);
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0
        && listen(fd, 128) == 0) {
        /* Clients of every user connect; SO_PEERCRED decides which are admitted. */
        chmod(path, 0666);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool mps_listen(int server, const char *name, const char *directory, const mps_limits *limits,
                bool route_only)
{
    for (int i = 0; i < MPS_MAX_LISTENERS; i++) {
        mps_listener *listener = &mps.listeners[i];
        if (listener->path[0] != '\0')
            continue;
        mps_make_directory(directory);
        *listener = (mps_listener){.server = server, .limits = *limits, .route_only = route_only};
        snprintf(listener->name, sizeof listener->name, "%s", name);
        if (snprintf(listener->path, sizeof listener->path, "%s/control", directory)
            >= (int)sizeof listener->path)
            listener->path[0] = '\0';
        listener->fd = bind_socket(listener->path);
        if (listener->fd < 0)
            listener->path[0] = '\0';
        return listener->fd >= 0;
    }
    return false;
}

static void close_listener(mps_listener *listener)
{
    unlink(listener->path);
    char *end = strrchr(listener->path, '/');
    if (end != NULL)
        *end = '\0';
    if (listener->server >= 0)
        rmdir(listener->path);
    close(listener->fd);
    listener->path[0] = '\0';
}

/* Namespaces are removed before the server's own socket, so that its directory is empty. */
void mps_unlisten(int server, const char *name)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < MPS_MAX_LISTENERS; i++) {
            mps_listener *listener = &mps.listeners[i];
            if (listener->path[0] == '\0' || listener->server != server
                || listener->route_only != (pass == 1))
                continue;
            if (name == NULL || (pass == 0 && strcmp(listener->name, name) == 0))
                close_listener(listener);
        }
}
