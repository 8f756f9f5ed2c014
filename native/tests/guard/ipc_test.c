/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that one process shows to another: `ipc_test SCENARIO` on a simulated machine, under the
 * guard, in a movable share of 4 GiB.
 */
#include "suspendable.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "swap/blocks/ipc_export.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

struct letter {
    CUipcMemHandle large, small;
};

static CUdeviceptr take(uint64_t bytes)
{
    CUdeviceptr at;
    OK(cuMemAlloc_v2(&at, bytes));
    return at;
}

static void child_ends_well(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* A child that begins when a letter is written to *to, and gives it to importer(). */
static pid_t fork_importer(void (*importer)(const struct letter *), int *to)
{
    struct letter letter;
    int post[2];
    CHECK(pipe(post) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(read(post[0], &letter, sizeof letter) == (ssize_t)sizeof letter);
        begin();
        importer(&letter);
        _exit(0);
    }
    *to = post[1];
    return child;
}

/* The parent begins too. */
static pid_t with_importer(void (*importer)(const struct letter *), int *to)
{
    pid_t child = fork_importer(importer, to);
    begin();
    return child;
}

static void post(int to, const struct letter *letter)
{
    CHECK(write(to, letter, sizeof *letter) == (ssize_t)sizeof *letter);
}

static void map_and_answer(const struct letter *letter)
{
    CUdeviceptr large, small, again, base;
    size_t size;
    OK(cuIpcOpenMemHandle_v2(&large, letter->large, 1));
    OK(cuIpcOpenMemHandle_v2(&small, letter->small, 1));
    OK(cuIpcOpenMemHandle_v2(&again, letter->large, 1));
    CHECK(again == large && word(&slot()->unmovable) == GS_UNMOVABLE_IMPORTED);
    CHECK(number(&slot()->charged[0]) == region->gpu[0].context); /* charged to the exporter */
    OK(cuMemGetAddressRange_v2(&base, &size, large + 70 * MIB));
    CHECK(base == large && size == 130 * MIB);
    OK(cuMemGetAddressRange_v2(&base, &size, small + 8));
    CHECK(base == small && size == 800);
    check_pattern(large, 130 * MIB, 1);
    check_pattern(small, 800, 2);
    write_pattern(large + 64 * MIB, 2 * MIB, 7);
    write_pattern(small, 800, 8);
    OK(cuIpcCloseMemHandle(large));
    check_pattern(large + 64 * MIB, 2 * MIB, 7);
    OK(cuIpcCloseMemHandle(again));
    OK(cuIpcCloseMemHandle(small));
    CHECK(word(&slot()->unmovable) == 0);
    CHECK(cuIpcCloseMemHandle(large) != CUDA_SUCCESS);
}

static void other_processes_map_exports(void)
{
    struct letter letter;
    int to;
    pid_t child = with_importer(map_and_answer, &to);
    CUdeviceptr large = take(130 * MIB), before = take(512), small = take(800), again;
    write_pattern(large, 130 * MIB, 1);
    write_pattern(small, 800, 2);
    OK(cuIpcGetMemHandle(&letter.large, large));
    OK(cuIpcGetMemHandle(&letter.small, small));
    CHECK(cuIpcOpenMemHandle_v2(&again, letter.large, 1) == CUDA_ERROR_INVALID_CONTEXT);
    post(to, &letter);
    child_ends_well(child);
    check_pattern(large + 64 * MIB, 2 * MIB, 7);
    check_pattern(small, 800, 8);
    CHECK(word(&slot()->unmovable) == GS_UNMOVABLE_EXPORTED);
    OK(cuMemFree_v2(large));
    OK(cuMemFree_v2(before));
    OK(cuMemFree_v2(small));
    size_t free, total;
    OK(cuMemGetInfo_v2(&free, &total)); /* which sweeps dead processes */
    CHECK(word(&slot()->unmovable) == 0 && gs_region_used(region, 0) == region->gpu[0].context);
}

/* As docker's default seccomp profile does, and kernels before 5.6 with ENOSYS. */
static void refuse(long call, int error)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void no_right_to_another_process_is_needed(void)
{
    refuse(SYS_pidfd_getfd, 1 /* EPERM */);
    refuse(SYS_ptrace, 1);
    other_processes_map_exports();
}

static void is_refused(const struct letter *letter)
{
    CUdeviceptr at;
    GIVES(cuIpcOpenMemHandle_v2(&at, letter->large, 1), CUDA_ERROR_MAP_FAILED);
    CHECK(word(&slot()->unmovable) == 0);
}

/* The exporter is not trusted: it has to send as many bytes as the ticket says. */
static void a_ticket_of_a_wrong_size_is_refused(void)
{
    struct gs_ticket ticket;
    struct letter letter;
    int to;
    pid_t child = with_importer(is_refused, &to);
    OK(cuIpcGetMemHandle(&letter.large, take(4 * MIB)));
    memcpy(&ticket, &letter.large, sizeof ticket);
    ticket.bytes *= 2;
    memcpy(&letter.large, &ticket, sizeof ticket);
    post(to, &letter);
    child_ends_well(child);
}

/* Values of a ticket are checked before memory is reserved for them. */
static void tickets_that_no_exporter_makes_are_refused(void)
{
    struct gs_ticket ticket, wrong;
    CUipcMemHandle handle;
    CUdeviceptr at;
    OK(cuIpcGetMemHandle(&handle, take(4 * MIB)));
    memcpy(&ticket, &handle, sizeof ticket);
    ticket.exporter.random[0] ^= 1;
    const struct gs_ticket wrongs[] = {
        {.bytes = 0, .count = 1},
        {.bytes = 4 * MIB + 1, .count = 1},
        {.bytes = 4 * MIB, .count = 0x40000000},
        {.bytes = 4 * MIB, .count = 1, .offset = 4 * MIB},
        {.bytes = UINT64_MAX - 2 * MIB + 1, .count = UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        wrong = wrongs[i];
        wrong.magic = ticket.magic;
        wrong.exporter = ticket.exporter;
        memcpy(&handle, &wrong, sizeof wrong);
        GIVES(cuIpcOpenMemHandle_v2(&at, handle, 1), CUDA_ERROR_INVALID_VALUE);
    }
    memcpy(&handle, &ticket, sizeof ticket);
    GIVES(cuIpcOpenMemHandle_v2(&at, handle, 1),
          CUDA_ERROR_MAP_FAILED); /* no process has that name */
}

/* A ticket of an exporter that is this test. */
static struct gs_ticket own_ticket(CUipcMemHandle *handle)
{
    struct gs_ticket ticket = {.magic = GS_TICKET_MAGIC,
                               .bytes = 4 * MIB,
                               .asked = 4 * MIB,
                               .count = 1};
    CHECK(gs_fd_name_make(&ticket.exporter));
    memcpy(handle, &ticket, sizeof ticket);
    return ticket;
}

static int listen_as(const struct gs_ticket *ticket)
{
    int listener = gs_fd_listen(&ticket->exporter);
    CHECK(listener >= 0);
    return listener;
}

/* As a stopped exporter is: its socket takes the request, and nothing answers. */
static void an_exporter_that_does_not_answer_ends_in_an_error(void)
{
    CUipcMemHandle handle;
    CUdeviceptr at;
    const struct gs_ticket ticket = own_ticket(&handle);
    int listener = listen_as(&ticket);
    GIVES(cuIpcOpenMemHandle_v2(&at, handle, 1), CUDA_ERROR_MAP_FAILED);
    CHECK(word(&slot()->unmovable) == 0);
    close(listener);
}

enum { PATIENCE_MS = 60000 };

static void await_importer(int listener)
{
    CHECK(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, PATIENCE_MS) == 1);
}

/* The first listener goes while the importer waits in its queue. */
static void an_importer_asks_again_where_the_listener_went(void)
{
    struct letter letter;
    struct gs_ipc_request request;
    int to, none;
    pid_t child = with_importer(is_refused, &to);
    const struct gs_ticket ticket = own_ticket(&letter.large);
    int first = listen_as(&ticket);
    post(to, &letter);
    await_importer(first);
    close(first);
    int second = listen_as(&ticket);
    await_importer(second);
    int peer = gs_fd_accept(second);
    CHECK(gs_fd_receive(peer, &request, sizeof request, &none) && request.magic == ticket.magic);
    close(peer); /* which ends the answer */
    child_ends_well(child);
}

static void opens_twice(const struct letter *letter)
{
    CUdeviceptr at;
    for (int i = 0; i < 2; i++) {
        OK(cuIpcOpenMemHandle_v2(&at, letter->large, 1));
        OK(cuIpcCloseMemHandle(at));
    }
}

/* Daemons close what they do not know. */
static void close_sockets(void)
{
    struct stat info;
    for (int fd = 3; fd < 1024; fd++)
        if (fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode))
            close(fd);
}

static void exports_outlive_closed_sockets(void)
{
    struct letter letter;
    int to;
    pid_t child = with_importer(opens_twice, &to);
    OK(cuIpcGetMemHandle(&letter.large, take(4 * MIB)));
    close_sockets();
    post(to, &letter);
    child_ends_well(child);
}

enum { IMPORTERS = 6 };

/* All of them wait in the queue of the closed socket, which serves only one more. */
static void exports_outlive_closed_sockets_for_many_importers(void)
{
    struct letter letter;
    int to[IMPORTERS];
    pid_t child[IMPORTERS];
    for (int i = 0; i < IMPORTERS; i++)
        child[i] = fork_importer(opens_twice, &to[i]);
    begin();
    OK(cuIpcGetMemHandle(&letter.large, take(4 * MIB)));
    close_sockets();
    for (int i = 0; i < IMPORTERS; i++)
        post(to[i], &letter);
    for (int i = 0; i < IMPORTERS; i++)
        child_ends_well(child[i]);
}

/* As numba-cuda's staged IPC does: the copy is queued, and nothing waits before the closing. */
static void copies_and_closes(const struct letter *letter)
{
    CUdeviceptr at, copy = take(4 * MIB);
    uint64_t busy_ns = 200000000;
    void *parameters[] = {&busy_ns};
    OK(cuIpcOpenMemHandle_v2(&at, letter->large, 1));
    OK(cuLaunchKernel(spin_kernel, 1, 1, 1, 32, 1, 1, 0, NULL, parameters, NULL));
    OK(cuMemcpyDtoDAsync_v2(copy, at, 4 * MIB, NULL));
    OK(cuIpcCloseMemHandle(at));
    check_pattern(copy, 4 * MIB, 3);
}

static void closing_waits_for_queued_work(void)
{
    struct letter letter;
    int to;
    pid_t child = with_importer(copies_and_closes, &to);
    CUdeviceptr at = take(4 * MIB);
    write_pattern(at, 4 * MIB, 3);
    OK(cuIpcGetMemHandle(&letter.large, at));
    post(to, &letter);
    child_ends_well(child);
}

static const struct scenario scenarios[] = {
    {"other_processes_map_exports", other_processes_map_exports, true},
    {"no_right_to_another_process_is_needed", no_right_to_another_process_is_needed, true},
    {"a_ticket_of_a_wrong_size_is_refused", a_ticket_of_a_wrong_size_is_refused, true},
    {"tickets_that_no_exporter_makes_are_refused", tickets_that_no_exporter_makes_are_refused,
     false},
    {"an_exporter_that_does_not_answer_ends_in_an_error",
     an_exporter_that_does_not_answer_ends_in_an_error, false},
    {"an_importer_asks_again_where_the_listener_went",
     an_importer_asks_again_where_the_listener_went, true},
    {"exports_outlive_closed_sockets", exports_outlive_closed_sockets, true},
    {"exports_outlive_closed_sockets_for_many_importers",
     exports_outlive_closed_sockets_for_many_importers, true},
    {"closing_waits_for_queued_work", closing_waits_for_queued_work, true},
};

int main(int count, char **arguments)
{
    return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, count, arguments);
}
