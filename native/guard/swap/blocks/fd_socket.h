/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets that pass file descriptors between processes, by a random name in the abstract
 * namespace. The driver's own IPC uses such a socket too, so nothing more is needed than it needs:
 * no pidfd_getfd(), no right to trace, no common PID namespace.
 * Owner: the caller. Threads: any; no state.
 * Limits: both processes are in one network namespace. Each wait is bounded (GS_FD_PATIENCE_S), so
 * that a stopped peer stops no other process without end. A peer of another user is not trusted;
 * root is.
 */
#ifndef GS_FD_SOCKET_H
#define GS_FD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

enum { GS_FD_PATIENCE_S = 5 };

struct gs_fd_name {
    unsigned char random[16];
};

/* A name that no other process can guess; false when the kernel gives no random bytes. */
bool gs_fd_name_make(struct gs_fd_name *name);

/* A descriptor, or -1. */
int gs_fd_listen(const struct gs_fd_name *name);
int gs_fd_accept(int listener);

/*
 * A socket to the listener of that name, which has the request and has begun to answer or hung up;
 * or -1. While there is no such listener it is asked again, for GS_FD_PATIENCE_S.
 */
int gs_fd_ask(const struct gs_fd_name *name, const void *request, size_t bytes);

/* Whether the descriptor is a socket bound to the name: the program may have closed it. */
bool gs_fd_bound(int socket, const struct gs_fd_name *name);

/* Sends a message, with a descriptor unless it is -1. */
bool gs_fd_send(int socket, const void *message, size_t bytes, int fd);

/* Receives a message of exactly so many bytes; *fd is -1 when none came with it. */
bool gs_fd_receive(int socket, void *message, size_t bytes, int *fd);

#endif
