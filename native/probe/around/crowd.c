/* SPDX-License-Identifier: Apache-2.0 */
#include "around/crowd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "around/barrier.h"

enum { CROWD = 4, VIEW = 1 << 16 };

struct member {
    pid_t pid;
    int out; /* what it prints */
    int in;  /* it ends when this is closed */
};

static bool make_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0;
}

static void become(char *const arguments[], int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execv("/proc/self/exe", arguments);
    _exit(127);
}

static struct member start(char *const arguments[])
{
    int in[2], out[2];
    struct member member = {-1, -1, -1};
    if (!make_pipe(in))
        return member;
    if (!make_pipe(out)) {
        close(in[0]);
        close(in[1]);
        return member;
    }
    member = (struct member){fork(), out[0], in[1]};
    if (member.pid == 0)
        become(arguments, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    return member;
}

/* One line; empty if the process ended without it. */
static void read_line(int from, char view[VIEW])
{
    size_t length = 0;
    while (length < VIEW - 1 && read(from, view + length, 1) == 1 && view[length] != '\n')
        length++;
    view[length] = 0;
}

static void finish(struct member *member)
{
    close(member->in);
    close(member->out);
    if (member->pid > 0)
        waitpid(member->pid, NULL, 0);
}

/* Every member is ready, or those that are not have ended. */
static void gather(int ready)
{
    char byte;
    for (int i = 0; i < CROWD && read(ready, &byte, 1) == 1; i++)
        ;
}

static void write_views(struct member members[CROWD], struct json *json)
{
    static char view[VIEW];
    json_open(json, "processes", '[');
    for (int i = 0; i < CROWD; i++) {
        read_line(members[i].out, view);
        json_raw(json, NULL, *view ? view : "{\"error\":\"it ended early\"}");
    }
    json_close(json, ']');
}

void crowd_run(char *arguments[], struct json *json)
{
    int ready[2], go[2], last = 0;
    char barrier[32];
    struct member members[CROWD];
    while (arguments[last])
        last++;
    if (pipe(ready) || pipe(go))
        return;
    /* The parent's ends: a member that kept them would never see the end of either pipe. */
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    fcntl(go[1], F_SETFD, FD_CLOEXEC);
    snprintf(barrier, sizeof barrier, "--barrier=%d,%d", ready[1], go[0]);
    arguments[last] = barrier;
    for (int i = 0; i < CROWD; i++)
        members[i] = start(arguments);
    arguments[last] = NULL;
    close(ready[1]);
    close(go[0]);
    gather(ready[0]);
    close(go[1]);
    write_views(members, json);
    for (int i = 0; i < CROWD; i++)
        finish(&members[i]);
    close(ready[0]);
}
