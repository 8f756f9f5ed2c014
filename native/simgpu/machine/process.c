/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/process.h"

#include <stdio.h>
#include <string.h>

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
