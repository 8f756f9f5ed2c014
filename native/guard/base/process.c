/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stat_line {
    char state;
    long threads;
    uint64_t start;
};

enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22 };

static ssize_t read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, text, room - 1);
    close(fd);
    if (length >= 0)
        text[length] = '\0';
    return length;
}

static bool parse(const char *text, struct stat_line *line)
{
    /* A program name may contain ") ", so fields are counted from the last parenthesis. */
    const char *at = strrchr(text, ')');
    for (int field = FIELD_STATE; at && field <= FIELD_START; field++) {
        at = strchr(at, ' ');
        if (!at++)
            return false;
        if (field == FIELD_STATE)
            line->state = *at;
        else if (field == FIELD_THREADS)
            line->threads = strtol(at, NULL, 10);
        else if (field == FIELD_START)
            line->start = strtoull(at, NULL, 10);
    }
    return at != NULL;
}

static bool read_stat(pid_t pid, struct stat_line *line)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    return read_file(path, text, sizeof text) > 0 && parse(text, line);
}

uint64_t gs_process_start(pid_t pid)
{
    struct stat_line line;
    return read_stat(pid, &line) ? line.start : 0;
}

uint32_t gs_process_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? (uint32_t)info.st_ino : 0;
}

bool gs_process_alive(pid_t pid, uint64_t start)
{
    struct stat_line line;
    if (!read_stat(pid, &line))
        return kill(pid, 0) == 0 || errno != ESRCH;
    /* After pthread_exit() the main thread is a zombie while other threads run. */
    bool zombie = (line.state == 'Z' || line.state == 'X') && line.threads <= 1;
    return !zombie && (start == 0 || line.start == start);
}
