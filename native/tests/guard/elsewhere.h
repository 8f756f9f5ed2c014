/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a function in the first process of a pid namespace that has a /proc of its own, and keeps
 * that process alive until the test ends it.
 *
 * Owner: the test that includes it. Threads: none. Limits: skips where this user may not do it.
 */
#ifndef GS_TEST_ELSEWHERE_H
#define GS_TEST_ELSEWHERE_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { NOT_ALLOWED = 77 };

struct elsewhere {
    pid_t starter;
    int end; /* closing it ends the process */
};

/* The first process of a pid namespace, with a /proc of its own. */
static void live_elsewhere(const int ready[2], const int end[2], void (*act)(void))
{
    char byte;
    close(end[1]);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("proc", "/proc", "proc", 0, NULL) < 0)
        _exit(NOT_ALLOWED);
    act();
    CHECK(write(ready[1], "x", 1) == 1);
    CHECK(read(end[0], &byte, 1) == 0);
    _exit(0);
}

static void enter_namespaces(const int ready[2], const int end[2], void (*act)(void))
{
    int spaces = CLONE_NEWPID | CLONE_NEWNS, status;
    if (unshare(spaces) < 0 && unshare(spaces | CLONE_NEWUSER) < 0)
        _exit(NOT_ALLOWED);
    pid_t child = fork();
    if (child == 0)
        live_elsewhere(ready, end, act);
    close(ready[1]);
    close(end[1]);
    CHECK(waitpid(child, &status, 0) == child);
    _exit(WEXITSTATUS(status));
}

/* False where this user may not do it. */
static bool start_elsewhere(struct elsewhere *there, void (*act)(void))
{
    int ready[2], end[2], status;
    char byte;
    CHECK(pipe(ready) == 0 && pipe(end) == 0);
    there->starter = fork();
    if (there->starter == 0)
        enter_namespaces(ready, end, act);
    there->end = end[1];
    close(ready[1]);
    close(end[0]);
    bool started = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (started)
        return true;
    close(end[1]);
    CHECK(waitpid(there->starter, &status, 0) == there->starter);
    CHECK(WEXITSTATUS(status) == NOT_ALLOWED);
    fprintf(stderr, "skipped: this user may not create a pid namespace with its /proc\n");
    return false;
}

static void end_elsewhere(struct elsewhere *there)
{
    int status;
    close(there->end);
    CHECK(waitpid(there->starter, &status, 0) == there->starter);
}

#endif
