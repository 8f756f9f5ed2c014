/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

size_t gs_read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    return length;
}

uint64_t gs_process_start(pid_t pid)
{
    char path[48], text[1024];
    unsigned long long start = 0;
    char state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!gs_read_file(path, text, sizeof text))
        return 0;
    const char *rest = strrchr(text, ')'); /* the command may hold spaces and brackets */
    if (!rest
        || sscanf(
               rest + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &state, &start)
               != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start;
}

uint64_t gs_process_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

/* In the innermost namespace (proc_pid_status(5)). */
static pid_t pid_inside(const char *here)
{
    char path[300], text[4096];
    snprintf(path, sizeof path, "/proc/%s/status", here);
    if (!gs_read_file(path, text, sizeof text))
        return 0;
    char *line = strstr(text, "\nNSpid:"), *end = line ? strchr(line + 1, '\n') : NULL;
    if (!end)
        return 0;
    *end = '\0';
    return (pid_t)strtol(strrchr(line, '\t'), NULL, 10);
}

pid_t gs_process_here(pid_t inside, uint64_t start)
{
    DIR *processes = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && gs_process_start(pid) == start && pid_inside(entry->d_name) == inside)
            found = pid;
    }
    if (processes)
        closedir(processes);
    return found;
}
