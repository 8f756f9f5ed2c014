/* SPDX-License-Identifier: Apache-2.0 */
/* nvidia-cuda-mps-control: the daemon with -d or -f, else the tool that talks to it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/image.h"
#include "mps/daemon/daemon.h"
#include "mps/daemon/tool.h"
#include "mps/paths.h"
#include "mps/state.h"

typedef struct {
    bool daemon, foreground, version, help;
    int first; /* index of the first word that is not an option: a v3 command */
} options;

static bool is(const char *word, const char *brief, const char *full)
{
    return strcmp(word, brief) == 0 || strcmp(word, full) == 0;
}

static bool set_option(options *options, const char *word, const char *next)
{
    if (is(word, "-d", "--daemon"))
        options->daemon = true;
    else if (is(word, "-f", "--foreground"))
        options->foreground = true;
    else if (is(word, "-v", "--version"))
        options->version = true;
    else if (is(word, "-h", "--help"))
        options->help = true;
    else if (is(word, "-S", "--static-partitioning"))
        mps.static_partitioning = true;
    else if (is(word, "-m", "--multiuser") || strcmp(word, "-multiuser-server") == 0)
        mps.multiuser = true;
    else if (is(word, "-p", "--protocol") && next != NULL)
        mps.protocol = atoi(next);
    else if (is(word, "-a", "--apply") && next != NULL)
        mps.apply = next;
    else
        return false;
    return true;
}

static bool takes_value(const char *word)
{
    return is(word, "-p", "--protocol") || is(word, "-a", "--apply");
}

static options read_options(int argc, char **argv)
{
    options options = {.first = argc};
    for (int i = 1; i < argc; i++) {
        if (!set_option(&options, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            options.first = i;
            break;
        }
        i += takes_value(argv[i]);
    }
    return options;
}

/* The variable overrides the flag. Releases before 615 have only protocol 2. */
static bool choose_protocol(void)
{
    const char *variable = getenv("CUDA_MPS_PROTOCOL_VERSION");
    if (variable != NULL && *variable != '\0')
        mps.protocol = atoi(variable);
    if (mps.protocol == 0)
        mps.protocol = 2;
    return mps.protocol == 2 || (mps.protocol == 3 && atoi(mps.image->driver) >= 615);
}

static int start_in_background(void)
{
    int ready[2], status = 1;
    char byte;
    if (pipe2(ready, O_CLOEXEC) != 0)
        return 1;
    const pid_t pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        setsid();
        if (chdir("/") != 0)
            _exit(1);
        dup2(null, 0);
        dup2(null, 1);
        /* Stderr stays open until the daemon listens, for its errors. */
        exit(mps_daemon_run(ready[1]));
    }
    close(ready[1]);
    if (pid > 0 && read(ready[0], &byte, 1) == 1)
        return 0;
    if (pid > 0)
        waitpid(pid, &status, 0);
    return 1;
}

static int usage(void)
{
    puts(
        "usage: nvidia-cuda-mps-control [-d | -f] [-S] [-m] [-p 2|3] [-a FILE] | [-q] | [MODULE VERB ...]\n"
        "Without options reads commands from standard input.");
    return 0;
}

int main(int argc, char **argv)
{
    const options options = read_options(argc, argv);
    if (options.help)
        return usage();
    mps.image = gs_image_attach();
    if (mps.image == NULL) {
        fprintf(stderr, "Cannot initialize MPS: no CUDA driver\n");
        return 1;
    }
    mps.image_fd = gs_image_fd;
    if (!choose_protocol()) {
        fprintf(stderr, "Unsupported protocol version %d\n", mps.protocol);
        return 1;
    }
    mps_directories(mps.pipe, mps.log, mps.protocol);
    if (options.version)
        return printf("CUDA MPS Control binary version: %u\n", mps.image->cuda) < 0;
    if (options.daemon)
        return start_in_background();
    if (options.foreground)
        return mps_daemon_run(-1);
    return mps_tool_run(argc - options.first, argv + options.first);
}
