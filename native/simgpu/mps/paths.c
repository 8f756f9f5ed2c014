/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mps/state.h"

void mps_make_directory(const char *path)
{
    char part[GS_PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0755);
        *slash = '/';
    }
    mkdir(part, 0755);
}

static void pick(char *out, const char *variable, const char *fallback)
{
    const char *set = getenv(variable);
    snprintf(out, GS_PATH, "%s", set != NULL && *set != '\0' ? set : fallback);
}

void mps_directories(char *pipe, char *log, int protocol)
{
    const bool run = protocol == 3 && geteuid() == 0;
    pick(pipe, "CUDA_MPS_PIPE_DIRECTORY", run ? "/run/nvidia-mps" : "/tmp/nvidia-mps");
    pick(log, "CUDA_MPS_LOG_DIRECTORY", "/var/log/nvidia-mps");
}

bool mps_machine_gone(int image_fd)
{
    struct stat status;
    return fstat(image_fd, &status) == 0 && status.st_nlink == 0;
}
