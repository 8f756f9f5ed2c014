/* SPDX-License-Identifier: Apache-2.0 */
#include "escape.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VIEW = 1 << 16, VARIABLES = 6, FREES = 64 };

/* `needs`: tried only where this variable is set. `add`: appended to the value of `needs`. */
static const struct escape {
    const char *name, *needs, *add, *set_to;
    const char *unset[VARIABLES];
} escapes[] = {
    {"without the guard", NULL, NULL, NULL, {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {"without MPS limits",
     "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
     NULL,
     NULL,
     {"LD_PRELOAD", "GPUSHARE_REGION", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
      "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"}},
    /* Driver 580: an entry for a device that the client does not see drops every limit. */
    {"limit of an invisible device",
     "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
     ",15=1G",
     NULL,
     {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {"without MPS",
     "CUDA_MPS_PIPE_DIRECTORY",
     NULL,
     "/dev/null",
     {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {"with all devices",
     "CUDA_VISIBLE_DEVICES",
     NULL,
     NULL,
     {"LD_PRELOAD", "GPUSHARE_REGION", "CUDA_VISIBLE_DEVICES"}},
};

static struct {
    char uuid[64];
    int64_t free;
} views[FREES];
static unsigned view_count;

static void change_environment(const struct escape *escape)
{
    char value[4096];
    const char *old = escape->needs ? getenv(escape->needs) : NULL;
    if (escape->add && old) {
        snprintf(value, sizeof value, "%s%s", old, escape->add);
        setenv(escape->needs, value, 1);
    }
    if (escape->set_to)
        setenv(escape->needs, escape->set_to, 1);
    for (int i = 0; i < VARIABLES && escape->unset[i]; i++)
        unsetenv(escape->unset[i]);
}

static void exec_escape(const struct escape *escape, int out, char *const arguments[])
{
    change_environment(escape);
    dup2(out, STDOUT_FILENO);
    execv("/proc/self/exe", arguments);
    _exit(127);
}

static void read_all(int from, char view[VIEW])
{
    size_t length = 0;
    ssize_t count;
    while (length < VIEW - 1 && (count = read(from, view + length, VIEW - 1 - length)) > 0)
        length += (size_t)count;
    view[length] = 0;
}

static void run(const struct escape *escape, char *const arguments[], char view[VIEW])
{
    int pipe_ends[2], status = -1;
    view[0] = 0;
    if (pipe(pipe_ends))
        return;
    pid_t child = fork();
    if (child == 0)
        exec_escape(escape, pipe_ends[1], arguments);
    close(pipe_ends[1]);
    read_all(pipe_ends[0], view);
    close(pipe_ends[0]);
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        view[0] = 0;
}

/* The view is written by this program: "uuid":"…" comes before "free":N in every device. */
static void note_free(const char *view)
{
    const char *uuid = view, *free;
    while (view_count < FREES && (uuid = strstr(uuid, "\"uuid\":\""))
           && (free = strstr(uuid, "\"free\":"))) {
        uuid += strlen("\"uuid\":\"");
        snprintf(views[view_count].uuid, sizeof views->uuid, "%.*s", (int)strcspn(uuid, "\""),
                 uuid);
        views[view_count++].free = strtoll(free + strlen("\"free\":"), NULL, 10);
    }
}

int64_t escape_free(const char *uuid)
{
    int64_t most = -1;
    for (unsigned i = 0; i < view_count; i++)
        if (strcasecmp(views[i].uuid, uuid) == 0 && views[i].free > most)
            most = views[i].free;
    return most;
}

void escape_all(char *const arguments[], struct json *json)
{
    static char view[VIEW];
    json_open(json, "escapes", '[');
    for (unsigned i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        if (escapes[i].needs && !getenv(escapes[i].needs))
            continue;
        run(&escapes[i], arguments, view);
        note_free(view);
        json_open(json, NULL, '{');
        json_text(json, "name", escapes[i].name);
        json_raw(json, "view", view);
        json_close(json, '}');
    }
    json_close(json, ']');
}
