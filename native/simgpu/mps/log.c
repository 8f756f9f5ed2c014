/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "mps/state.h"

static int log_fd = -1;
static const char *log_role = "Control";

void mps_log_open(const char *directory, const char *file, const char *role)
{
    char path[GS_PATH + 32];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    log_role = role;
}

void mps_log(const char *format, ...)
{
    char text[1024], line[1200], when[32];
    struct timeval now;
    struct tm parts;
    va_list arguments;
    if (log_fd < 0)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    gettimeofday(&now, NULL);
    localtime_r(&now.tv_sec, &parts);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &parts);
    int length = snprintf(line, sizeof line, "[%s.%03ld %s %5d] %s\n", when,
                          (long)now.tv_usec / 1000, log_role, (int)getpid(), text);
    /* A full disk must not end the daemon. */
    if (write(log_fd, line, (size_t)length) < 0)
        log_fd = -1;
}
