/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/fd_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define SECOND_NS 1000000000ull
#define PAUSE_NS 2000000ull /* between attempts */

static const char PREFIX[] = "gpushare-ipc-";

union control {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

bool gs_fd_name_make(struct gs_fd_name *name)
{
    /* Not getrandom(), which came with glibc 2.25. */
    int source = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return false;
    bool whole = read(source, name->random, sizeof name->random) == (ssize_t)sizeof name->random;
    close(source);
    return whole;
}

/* In the abstract namespace: the first byte is zero, and the length counts. */
static socklen_t address_of(const struct gs_fd_name *name, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    char *at = address->sun_path + 1;
    memcpy(at, PREFIX, sizeof PREFIX - 1);
    at += sizeof PREFIX - 1;
    for (size_t i = 0; i < sizeof name->random; i++) {
        *at++ = "0123456789abcdef"[name->random[i] >> 4];
        *at++ = "0123456789abcdef"[name->random[i] & 15];
    }
    return (socklen_t)(at - (char *)address);
}

static void bound_waits(int socket)
{
    struct timeval patience = {.tv_sec = GS_FD_PATIENCE_S};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static int close_failed(int socket)
{
    int why = errno;
    close(socket);
    errno = why;
    return -1;
}

int gs_fd_listen(const struct gs_fd_name *name)
{
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (socket_ < 0)
        return -1;
    if (bind(socket_, (const struct sockaddr *)&address, length) == 0 && listen(socket_, 64) == 0)
        return socket_;
    return close_failed(socket_);
}

/* Natively, too, memory is shared by handles within a user only. */
static bool trusted(int socket)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    return peer.uid == geteuid() || peer.uid == 0 || geteuid() == 0;
}

static int checked(int socket)
{
    if (trusted(socket))
        return socket;
    errno = EPERM;
    return close_failed(socket);
}

int gs_fd_accept(int listener)
{
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return -1;
    bound_waits(peer);
    return checked(peer);
}

static int connect_to(const struct gs_fd_name *name)
{
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    int peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (peer < 0)
        return -1;
    bound_waits(peer);
    if (connect(peer, (const struct sockaddr *)&address, length) != 0)
        return close_failed(peer);
    return checked(peer);
}

/* A program that closes all descriptors closes the listener too, and the owner opens it again. */
static bool listener_went(int error)
{
    return error == ECONNREFUSED || error == ECONNRESET || error == EPIPE || error == EINTR;
}

/* The begin of the answer, or its end, has come. */
static bool is_answered(int socket)
{
    char first;
    return recv(socket, &first, sizeof first, MSG_PEEK) >= 0;
}

static int ask_once(const struct gs_fd_name *name, const void *request, size_t bytes)
{
    int peer = connect_to(name);
    if (peer >= 0 && !(gs_fd_send(peer, request, bytes, -1) && is_answered(peer)))
        return close_failed(peer);
    return peer;
}

int gs_fd_ask(const struct gs_fd_name *name, const void *request, size_t bytes)
{
    uint64_t end = gs_now() + GS_FD_PATIENCE_S * SECOND_NS;
    int peer = ask_once(name, request, bytes);
    while (peer < 0 && listener_went(errno) && gs_now() < end) {
        gs_nap(PAUSE_NS);
        peer = ask_once(name, request, bytes);
    }
    return peer;
}

bool gs_fd_bound(int socket, const struct gs_fd_name *name)
{
    struct sockaddr_un ours, theirs;
    socklen_t length = address_of(name, &ours), found = sizeof theirs;
    memset(&theirs, 0, sizeof theirs);
    return getsockname(socket, (struct sockaddr *)&theirs, &found) == 0 && found == length
           && memcmp(&ours, &theirs, length) == 0;
}

bool gs_fd_send(int socket, const void *message, size_t bytes, int fd)
{
    union control control = {.room = {0}};
    struct iovec part = {(void *)message, bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control.room;
        header.msg_controllen = sizeof control.room;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    ssize_t sent;
    while ((sent = sendmsg(socket, &header, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    return sent == (ssize_t)bytes;
}

/* One descriptor is expected; a peer that sends more must not leave them open here. */
static int only_descriptor(struct msghdr *header)
{
    const struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        return -1;
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
        if (count == 1)
            return fd;
        close(fd);
    }
    return -1;
}

bool gs_fd_receive(int socket, void *message, size_t bytes, int *fd)
{
    union control control = {.room = {0}};
    struct iovec part = {message, bytes};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.room,
                            .msg_controllen = sizeof control.room};
    ssize_t got;
    *fd = -1;
    while ((got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (got < 0)
        return false;
    *fd = only_descriptor(&header);
    return got == (ssize_t)bytes && !(header.msg_flags & MSG_TRUNC);
}
