/* SPDX-License-Identifier: Apache-2.0 */
/* The tool: each line of standard input, or the words after the options, is one command. */
#include "mps/daemon/tool.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/mps_protocol.h"
#include "mps/state.h"

static ssize_t receive(int fd, char *text, size_t size)
{
    ssize_t length;
    do
        length = recv(fd, text, size, 0);
    while (length < 0 && errno == EINTR);
    return length;
}

/* In v3 the first word of the answer marks a failure. */
static int print_answer(int fd)
{
    static const char mark[] = "error:";
    char text[4096];
    int failed = 0;
    for (ssize_t length; (length = receive(fd, text, sizeof text)) > 0;) {
        if ((size_t)length >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0)
            failed = 1;
        fwrite(text, 1, (size_t)length, failed ? stderr : stdout);
    }
    fflush(stdout);
    return failed;
}

static int send_command(const char *command)
{
    gs_mps_request request = {.magic = GS_MPS_MAGIC,
                              .protocol = GS_MPS_PROTOCOL,
                              .verb = GS_MPS_COMMAND,
                              .pid = getpid(),
                              .uid = geteuid(),
                              .slot = -1};
    const int fd = gs_mps_connect(mps.pipe);
    if (fd < 0) {
        fprintf(stderr, "Cannot find MPS control daemon process\n");
        return 1;
    }
    snprintf(request.text, sizeof request.text, "%s", command);
    int failed = send(fd, &request, sizeof request, MSG_NOSIGNAL) != sizeof request;
    if (failed == 0)
        failed = print_answer(fd);
    close(fd);
    return failed;
}

static int send_words(int count, char **words)
{
    char line[sizeof((gs_mps_request *)0)->text] = "";
    if (strcmp(words[0], "-q") == 0 || strcmp(words[0], "--quit") == 0)
        return send_command("quit");
    for (int i = 0; i < count; i++) {
        if (strlen(line) + strlen(words[i]) + 2 > sizeof line)
            return 1;
        if (i > 0)
            strcat(line, " ");
        strcat(line, words[i]);
    }
    return send_command(line);
}

int mps_tool_run(int count, char **words)
{
    char line[sizeof((gs_mps_request *)0)->text];
    int failed = 0;
    if (count > 0)
        return send_words(count, words);
    while (failed == 0 && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " \t")] != '\0')
            failed = send_command(line);
    }
    return failed;
}
