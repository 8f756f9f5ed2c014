// SPDX-License-Identifier: Apache-2.0
// The control daemon: takes its pipe directory, listens, and ends with its servers.
#include "mps/mps.h"
#include "machine/process.h"
#include "machine/slot.h"

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

enum { LOOK_EVERY_MS = 500, LOOK_OFTEN_MS = 10, GRACE_MS = 2000 };

mps_state mps = {.image_fd = -1};
static bool asked_to_end;

static int complain(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

// Held until the process ends, whoever kills it: no second daemon can take the directory before.
static bool lock_directory(void) {
    char path[GS_PATH + 16];
    snprintf(path, sizeof path, "%s/control_lock", mps.pipe);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void in_pipe(char *path, const char *name) { snprintf(path, GS_PATH + 64, "%s/%s", mps.pipe, name); }

static void write_pid_file(void) {
    char path[GS_PATH + 64];
    in_pipe(path, "nvidia-cuda-mps-control.pid");
    FILE *file = fopen(path, "we");
    if (file == NULL) return;
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    in_pipe(path, "log");
    mkfifo(path, 0600); // the servers' log pipe of the real tool: whoever reads it waits
}

static bool enter_image(void) {
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    mps.self = -1;
    for (int i = 0; i < GS_MAX_MPS_DAEMONS && mps.self < 0; i++)
        if (mps.image->daemons[i].pid == 0) mps.self = i;
    if (mps.self >= 0) {
        gs_mps_daemon *entry = &mps.image->daemons[mps.self];
        *entry = (gs_mps_daemon){.pid = getpid(), .start_time = gs_process_start(getpid())};
        for (int i = 0; i < mps.device_count; i++) entry->devices |= 1ull << mps.devices[i];
        snprintf(entry->pipe_directory, sizeof entry->pipe_directory, "%s", mps.pipe);
    }
    gs_image_unlock(mps.image);
    return mps.self >= 0;
}

static int open_for_business(void) {
    const mps_limits none = {.priority = MPS_UNSET};
    mps_make_directory(mps.pipe);
    mps_make_directory(mps.log);
    if (!lock_directory()) return complain("An instance of this daemon is already running");
    mps_find_devices(getenv("CUDA_VISIBLE_DEVICES"));
    mps_limits_from_environment(&mps.defaults);
    mps_log_open(mps.log, "control.log", "Control");
    if (!enter_image()) return complain("Too many MPS control daemons on this machine");
    write_pid_file();
    if (!mps_listen(-1, "", mps.pipe, &none, false)) return complain("Failed to create the control socket");
    mps_log("Starting control daemon using socket %s/control", mps.pipe);
    mps_log("To connect CUDA applications to this daemon, set env CUDA_MPS_PIPE_DIRECTORY=%s", mps.pipe);
    mps_log("CUDA MPS Control binary version: %u", mps.image->cuda);
    return 0;
}

static int watch_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(int fd) {
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD) asked_to_end = true;
}

static void take_connection(int listener) {
    const int fd = accept4(mps.listeners[listener].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    for (int i = 0; i < MPS_MAX_PEERS; i++) {
        if (mps.peers[i].state != PEER_FREE) continue;
        mps.peers[i] = (mps_peer){.state = PEER_SILENT, .fd = fd, .listener = listener, .client = -1};
        return;
    }
    close(fd);
}

static bool anyone_waits(void) {
    for (int i = 0; i < MPS_MAX_PEERS; i++)
        if (mps.peers[i].state == PEER_PENDING) return true;
    return false;
}

typedef struct {
    struct pollfd fds[1 + MPS_MAX_LISTENERS + MPS_MAX_PEERS];
    int owner[1 + MPS_MAX_LISTENERS + MPS_MAX_PEERS]; // listener, or MPS_MAX_LISTENERS + peer
    int count;
} watch;

static void add(watch *watch, int fd, int owner) {
    watch->fds[watch->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    watch->owner[watch->count++] = owner;
}

static void gather(watch *watch, int signals) {
    watch->count = 0;
    add(watch, signals, -1);
    for (int i = 0; i < MPS_MAX_LISTENERS; i++)
        if (mps.listeners[i].path[0] != '\0') add(watch, mps.listeners[i].fd, i);
    for (int i = 0; i < MPS_MAX_PEERS; i++)
        if (mps.peers[i].state != PEER_FREE) add(watch, mps.peers[i].fd, MPS_MAX_LISTENERS + i);
}

static void handle(const watch *watch) {
    for (int i = 0; i < watch->count; i++) {
        if (watch->fds[i].revents == 0) continue;
        const int owner = watch->owner[i];
        if (owner < 0) read_signals(watch->fds[i].fd);
        else if (owner < MPS_MAX_LISTENERS) take_connection(owner);
        else if (mps.peers[owner - MPS_MAX_LISTENERS].state == PEER_SILENT)
            mps_peer_request(&mps.peers[owner - MPS_MAX_LISTENERS]);
        else mps_peer_drop(&mps.peers[owner - MPS_MAX_LISTENERS]); // a client says nothing more: it left
    }
}

static void locked(void (*act)(void)) {
    gs_image_lock(mps.image);
    gs_image_reap(mps.image);
    act();
    gs_image_unlock(mps.image);
}

static void stop_servers(void) {
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used) mps_server_stop(&mps.servers[i]);
}

static int clients_left;
static void count_clients(void) {
    clients_left = 0;
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used) clients_left += mps_server_clients(&mps.servers[i]);
}

// `quit` waits until the clients have left, or as long as it was told; a signal does not wait.
static bool time_to_end(void) {
    if (asked_to_end || mps_machine_gone(mps.image_fd)) return true;
    if (!mps.quitting) return false;
    locked(count_clients);
    return clients_left == 0 || (mps.quit_at != 0 && gs_now_ns() >= mps.quit_at);
}

static void serve_until_the_end(int signals) {
    static watch watch;
    while (!time_to_end()) {
        if (mps.image->mps_stuck) {
            poll(&(struct pollfd){.fd = signals, .events = POLLIN}, 1, LOOK_OFTEN_MS * 10);
            read_signals(signals);
            continue;
        }
        gather(&watch, signals);
        poll(watch.fds, (nfds_t)watch.count, anyone_waits() || mps.quitting ? LOOK_OFTEN_MS : LOOK_EVERY_MS);
        handle(&watch);
        locked(mps_servers_forget_dead);
        mps_serve_pending();
    }
}

static void end_servers(void) {
    const uint64_t until = gs_now_ns() + GRACE_MS * 1000000ull;
    int alive = 1;
    locked(stop_servers);
    while (alive > 0 && gs_now_ns() < until) {
        alive = 0;
        locked(mps_servers_forget_dead);
        for (int i = 0; i < GS_MAX_MPS_SERVERS; i++) alive += mps.servers[i].used;
        if (alive > 0) usleep(LOOK_OFTEN_MS * 1000);
    }
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (mps.servers[i].used) kill(mps.servers[i].pid, SIGKILL);
}

static void close_business(void) {
    static const char *const left[] = {"control", "control_lock", "log", "nvidia-cuda-mps-control.pid"};
    char path[GS_PATH + 64];
    end_servers();
    mps_log("Exit");
    gs_image_lock(mps.image);
    memset(&mps.image->daemons[mps.self], 0, sizeof mps.image->daemons[mps.self]);
    gs_image_unlock(mps.image);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        in_pipe(path, left[i]);
        unlink(path);
    }
}

// Lets go of the caller's error stream too: whoever reads it to its end must not wait for the daemon.
static bool leave_caller(int ready) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const bool told = write(ready, "", 1) == 1;
    close(ready);
    return null >= 0 && dup2(null, 2) >= 0 && told;
}

int mps_daemon_run(int ready) {
    const int signals = watch_signals();
    int refused = open_for_business();
    if (refused == 0 && mps.apply != NULL) refused = !mps_v3_apply(mps.apply, stderr);
    if (refused != 0) return refused;
    if (ready >= 0 && !leave_caller(ready)) return 1;
    serve_until_the_end(signals);
    close_business();
    return 0;
}
