// SPDX-License-Identifier: Apache-2.0
// The tool: each line of standard input, or the words after the options, is one command.
#include "mps/mps.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/control", mps.pipe);
    if (fd >= 0 && length < (int)sizeof address.sun_path &&
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static ssize_t receive(int fd, char *text, size_t size) {
    ssize_t got;
    do got = recv(fd, text, size, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

// v3 tells a failure by its first word.
static int print_answer(int fd) {
    static const char mark[] = "error:";
    char text[4096];
    int failed = 0;
    for (ssize_t got; (got = receive(fd, text, sizeof text)) > 0;) {
        if ((size_t)got >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0) failed = 1;
        fwrite(text, 1, (size_t)got, failed ? stderr : stdout);
    }
    fflush(stdout);
    return failed;
}

static int tell(const char *command) {
    gs_mps_request request = {.magic = GS_MPS_MAGIC, .protocol = GS_MPS_PROTOCOL, .verb = GS_MPS_COMMAND,
                              .pid = getpid(), .uid = geteuid(), .slot = -1};
    const int fd = dial();
    if (fd < 0) {
        fprintf(stderr, "Cannot find MPS control daemon process\n");
        return 1;
    }
    snprintf(request.text, sizeof request.text, "%s", command);
    int failed = send(fd, &request, sizeof request, MSG_NOSIGNAL) != sizeof request;
    if (failed == 0) failed = print_answer(fd);
    close(fd);
    return failed;
}

static int tell_words(int count, char **words) {
    char line[sizeof((gs_mps_request *)0)->text] = "";
    if (strcmp(words[0], "-q") == 0 || strcmp(words[0], "--quit") == 0) return tell("quit");
    for (int i = 0; i < count; i++) {
        if (strlen(line) + strlen(words[i]) + 2 > sizeof line) return 1;
        if (i > 0) strcat(line, " ");
        strcat(line, words[i]);
    }
    return tell(line);
}

int mps_tool_run(int count, char **words) {
    char line[sizeof((gs_mps_request *)0)->text];
    int failed = 0;
    if (count > 0) return tell_words(count, words);
    while (failed == 0 && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " \t")] != '\0') failed = tell(line);
    }
    return failed;
}
