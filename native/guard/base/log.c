/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void append(const char *path, const char *line, size_t length)
{
    /* Opened for each line: an open descriptor would be visible in the program. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return;
    if (write(fd, line, length) < 0)
        errno = 0;
    close(fd);
}

void gs_log(const char *format, ...)
{
    const char *path = getenv("GPUSHARE_GUARD_LOG");
    if (!path || !*path)
        return;
    int kept_errno = errno;
    char line[512];
    int head = snprintf(line, sizeof line, "gpushare[%d] ", (int)getpid());
    va_list arguments;
    va_start(arguments, format);
    int length = head + vsnprintf(line + head, sizeof line - (size_t)head - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length] = '\n';
    append(path, line, (size_t)length + 1);
    errno = kept_errno;
}
