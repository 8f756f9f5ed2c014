/* SPDX-License-Identifier: Apache-2.0 */
#include "around/escape.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VIEW = 1 << 16, VARIABLES = 6, FREES = 64 };

/*
 * `needs`: tried only where this variable is set, and not to /dev/null. `add`: appended to its
 * value. `clear`: all but what finds the machine. `trick`: what the program does itself. `measures`:
 * it also works on the GPU, which takes more than a second; `work`: that is all it is about.
 */
static const struct escape {
    const char *name, *needs, *add, *set_to, *trick;
    bool clear, measures, work;
    const char *unset[VARIABLES];
} escapes[] = {
    {.name = "without the guard", .measures = true, .unset = {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {.name = "with an empty environment", .clear = true},
    {.name = "by dlmopen", .trick = "--trick=dlmopen"},
    {.name = "without MPS limits",
     .needs = "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
     .unset = {"LD_PRELOAD", "GPUSHARE_REGION", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
               "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"}},
    /* Driver 580: an entry for a device that the client does not see drops every limit. */
    {.name = "limit of an invisible device",
     .needs = "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
     .add = ",15=1G",
     .unset = {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {.name = "without MPS",
     .needs = "CUDA_MPS_PIPE_DIRECTORY",
     .set_to = "/dev/null",
     .measures = true,
     .unset = {"LD_PRELOAD", "GPUSHARE_REGION"}},
    {.name = "in the default MPS directory",
     .needs = "CUDA_MPS_PIPE_DIRECTORY",
     .unset = {"LD_PRELOAD", "GPUSHARE_REGION", "CUDA_MPS_PIPE_DIRECTORY"}},
    {.name = "with all devices",
     .needs = "CUDA_VISIBLE_DEVICES",
     .unset = {"LD_PRELOAD", "GPUSHARE_REGION", "CUDA_VISIBLE_DEVICES"}},
    {.name = "with a long timeslice", .trick = "--trick=timeslice", .measures = true, .work = true},
    {.name = "with WFI preemption", .trick = "--trick=wfi", .measures = true, .work = true},
};

static struct {
    char uuid[64];
    int64_t free;
} views[FREES];
static unsigned view_count;

static bool finds_the_machine(const char *variable)
{
    return strncmp(variable, "LD_LIBRARY_PATH=", 16) == 0
           || strncmp(variable, "GPUSHARE_SIM_", 13) == 0;
}

static void clear_environment(void)
{
    char **kept = environ;
    for (char **variable = environ; *variable; variable++)
        if (finds_the_machine(*variable))
            *kept++ = *variable;
    *kept = NULL;
}

static void change_environment(const struct escape *escape)
{
    if (escape->clear)
        clear_environment();
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

/*
 * Under the guard the numbers of CUDA_VISIBLE_DEVICES are the share's own; without it they would
 * name other GPUs of the machine.
 */
static void name_devices(const struct escape *escape, const char *devices)
{
    bool guarded = !escape->clear && !escape->unset[0] && escape->work;
    bool all = escape->needs && strcmp(escape->needs, "CUDA_VISIBLE_DEVICES") == 0;
    if (*devices && !guarded && !all)
        setenv("CUDA_VISIBLE_DEVICES", devices, 1);
}

static void exec_escape(const struct escape *escape, const struct escapees *who, int out)
{
    change_environment(escape);
    name_devices(escape, who->devices);
    dup2(out, STDOUT_FILENO);
    execv("/proc/self/exe", who->arguments);
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

static bool applies(const struct escape *escape, bool measuring)
{
    const char *value = escape->needs ? getenv(escape->needs) : "";
    return value && strcmp(value, "/dev/null") != 0 && (!escape->work || measuring);
}

static void run(const struct escape *escape, const struct escapees *who, char view[VIEW])
{
    int pipe_ends[2], status = -1;
    view[0] = 0;
    if (pipe(pipe_ends))
        return;
    pid_t child = fork();
    if (child == 0)
        exec_escape(escape, who, pipe_ends[1]);
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

void escape_all(const struct escapees *who, struct json *json)
{
    static char view[VIEW];
    char **arguments = who->arguments;
    int last = 0;
    while (arguments[last])
        last++;
    for (unsigned i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        if (!applies(&escapes[i], who->measuring))
            continue;
        arguments[last] = escapes[i].measures ? "--look" : "--no-compute";
        arguments[last + 1] = (char *)escapes[i].trick;
        run(&escapes[i], who, view);
        note_free(view);
        json_open(json, NULL, '{');
        json_text(json, "name", escapes[i].name);
        json_bool(json, "work", escapes[i].work);
        json_raw(json, "view", view);
        json_close(json, '}');
    }
    arguments[last] = NULL;
}
