/* SPDX-License-Identifier: Apache-2.0 */
/* The control daemon: takes its pipe directory, listens, and ends with its servers. */
#include "mps/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/image.h"
#include "machine/slot.h"
#include "mps/config.h"
#include "mps/control/listen.h"
#include "mps/control/servers.h"
#include "mps/daemon/peers.h"
#include "mps/dialect/v3_file.h"
#include "mps/log.h"
#include "mps/paths.h"
#include "mps/state.h"

enum { IDLE_POLL_MS = 500, BUSY_POLL_MS = 10, GRACE_MS = 2000 };

static bool end_requested;

static int print_error(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 1;
}

/* Held until the process ends, so that no second daemon can use the directory. */
static bool lock_directory(void)
{
    char path[GS_PATH + 16];
    snprintf(path, sizeof path, "%s/control_lock", mps.pipe);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void in_pipe(char *path, const char *name)
{
    snprintf(path, GS_PATH + 64, "%s/%s", mps.pipe, name);
}

static void write_pid_file(void)
{
    char path[GS_PATH + 64];
    in_pipe(path, "nvidia-cuda-mps-control.pid");
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return;
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    in_pipe(path, "log");
    mkfifo(path, 0600); /* the servers' log pipe of the real tool: readers of it block */
}

static bool register_daemon(void)
{
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    mps.self = -1;
    for (int i = 0; i < GS_MAX_MPS_DAEMONS && mps.self < 0; i++)
        if (mps.image->daemons[i].pid == 0)
            mps.self = i;
    if (mps.self >= 0) {
        gs_mps_daemon *entry = &mps.image->daemons[mps.self];
        *entry = (gs_mps_daemon){.pid = getpid()};
        gs_entry_hold(mps.image, entry);
        for (int i = 0; i < mps.device_count; i++)
            entry->devices |= 1ull << mps.devices[i];
        snprintf(entry->pipe_directory, sizeof entry->pipe_directory, "%s", mps.pipe);
    }
    gs_image_unlock(mps.image);
    return mps.self >= 0;
}

static int start(void)
{
    const mps_limits none = {.priority = MPS_UNSET};
    mps_make_directory(mps.pipe);
    mps_make_directory(mps.log);
    if (!lock_directory())
        return print_error("An instance of this daemon is already running");
    mps_find_devices(getenv("CUDA_VISIBLE_DEVICES"));
    mps_limits_from_environment(&mps.defaults);
    mps_log_open(mps.log, "control.log", "Control");
    if (!register_daemon())
        return print_error("Too many MPS control daemons on this machine");
    write_pid_file();
    if (!mps_listen(-1, "", mps.pipe, &none, false))
        return print_error("Failed to create the control socket");
    mps_log("Starting control daemon using socket %s/control", mps.pipe);
    mps_log("To connect CUDA applications to this daemon, set env CUDA_MPS_PIPE_DIRECTORY=%s",
            mps.pipe);
    mps_log("CUDA MPS Control binary version: %u", mps.image->cuda);
    return 0;
}

static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD)
            end_requested = true;
}

static void accept_connection(int listener)
{
    const int fd = accept4(mps.listeners[listener].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (int i = 0; i < MPS_MAX_PEERS; i++) {
        if (mps.peers[i].state != PEER_FREE)
            continue;
        mps.peers[i] =
            (mps_peer){.state = PEER_SILENT, .fd = fd, .listener = listener, .client = -1};
        return;
    }
    close(fd);
}

static bool has_pending(void)
{
    for (int i = 0; i < MPS_MAX_PEERS; i++)
        if (mps.peers[i].state == PEER_PENDING)
            return true;
    return false;
}

typedef struct {
    struct pollfd fds[1 + MPS_MAX_LISTENERS + MPS_MAX_PEERS];
    int owner[1 + MPS_MAX_LISTENERS + MPS_MAX_PEERS]; /* listener, or MPS_MAX_LISTENERS + peer */
    int count;
} watch;

static void add(watch *watch, int fd, int owner)
{
    watch->fds[watch->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    watch->owner[watch->count++] = owner;
}

static void gather(watch *watch, int signals)
{
    watch->count = 0;
    add(watch, signals, -1);
    for (int i = 0; i < MPS_MAX_LISTENERS; i++)
        if (mps.listeners[i].path[0] != '\0')
            add(watch, mps.listeners[i].fd, i);
    for (int i = 0; i < MPS_MAX_PEERS; i++)
        if (mps.peers[i].state != PEER_FREE)
            add(watch, mps.peers[i].fd, MPS_MAX_LISTENERS + i);
}

static void handle(const watch *watch)
{
    for (int i = 0; i < watch->count; i++) {
        if (watch->fds[i].revents == 0)
            continue;
        const int owner = watch->owner[i];
        if (owner < 0)
            read_signals(watch->fds[i].fd);
        else if (owner < MPS_MAX_LISTENERS)
            accept_connection(owner);
        else if (mps.peers[owner - MPS_MAX_LISTENERS].state == PEER_SILENT)
            mps_peer_request(&mps.peers[owner - MPS_MAX_LISTENERS]);
        /* A client sends nothing more: it left. */
        else
            mps_peer_drop(&mps.peers[owner - MPS_MAX_LISTENERS]);
    }
}

static void locked(void (*act)(void))
{
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    act();
    gs_image_unlock(mps.image);
}

static void stop_servers(void)
{
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used)
            mps_server_stop(&mps.servers[i]);
}

static int clients_left;
static void count_clients(void)
{
    clients_left = 0;
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used)
            clients_left += mps_server_clients(&mps.servers[i]);
}

/* `quit` waits until the clients have left, at most for the given time; a signal does not wait. */
static bool should_end(void)
{
    if (end_requested || mps_machine_gone(mps.image_fd))
        return true;
    if (!mps.quitting)
        return false;
    locked(count_clients);
    return clients_left == 0 || (mps.quit_at != 0 && gs_now_ns() >= mps.quit_at);
}

static void serve(int signals)
{
    static watch watch;
    while (!should_end()) {
        if (mps.image->mps_stuck) {
            poll(&(struct pollfd){.fd = signals, .events = POLLIN}, 1, BUSY_POLL_MS * 10);
            read_signals(signals);
            continue;
        }
        gather(&watch, signals);
        poll(watch.fds, (nfds_t)watch.count,
             has_pending() || mps.quitting ? BUSY_POLL_MS : IDLE_POLL_MS);
        handle(&watch);
        locked(mps_servers_forget_dead);
        mps_serve_pending();
    }
}

static void end_servers(void)
{
    const uint64_t until = gs_now_ns() + GRACE_MS * 1000000ull;
    int alive = 1;
    locked(stop_servers);
    while (alive > 0 && gs_now_ns() < until) {
        alive = 0;
        locked(mps_servers_forget_dead);
        for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
            alive += mps.servers[i].used;
        if (alive > 0)
            usleep(BUSY_POLL_MS * 1000);
    }
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used)
            kill(mps.servers[i].pid, SIGKILL);
}

static void end(void)
{
    static const char *const files[] = {"control", "control_lock", "log",
                                        "nvidia-cuda-mps-control.pid"};
    char path[GS_PATH + 64];
    end_servers();
    mps_log("Exit");
    gs_image_lock(mps.image);
    memset(&mps.image->daemons[mps.self], 0, sizeof mps.image->daemons[mps.self]);
    gs_image_unlock(mps.image);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        in_pipe(path, files[i]);
        unlink(path);
    }
}

/*
 * Releases the caller's error stream too: a caller that reads it to the end must not wait for the
 * daemon.
 */
static bool leave_caller(int ready)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const bool reported = write(ready, "", 1) == 1;
    close(ready);
    return null >= 0 && dup2(null, 2) >= 0 && reported;
}

int mps_daemon_run(int ready)
{
    const int signals = watch_signals();
    int refused = start();
    if (refused == 0 && mps.apply != NULL)
        refused = !mps_v3_apply(mps.apply, stderr);
    if (refused != 0)
        return refused;
    if (ready >= 0 && !leave_caller(ready))
        return 1;
    serve(signals);
    end();
    return 0;
}
