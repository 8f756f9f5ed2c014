/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpushare-probe: runs under the edits of a share, tries to break its limits, and prints the result
 * as one JSON object. Exit codes: 0 a report was printed; 2 usage; 7 no usable driver (the reason is
 * in "error"); 124 out of time.
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attempt.h"
#include "around/barrier.h"
#include "compute.h"
#include "around/crowd.h"
#include "around/escape.h"
#include "nvml.h"
#include "paths.h"
#include "region_view.h"
#include "around/rm_control.h"
#include "scrub.h"

enum { LIMITS = 64, TIMEOUT = 30, EXIT_USAGE = 2, EXIT_DRIVER = 7, EXIT_TIME = 124 };

static struct options {
    struct attempt attempt;
    bool look;      /* the child of an escape: it tries no escapes */
    bool escapes;
    bool outside; /* escapes also allocate and compute */
    bool compute;
    struct scrub scrub;
    bool load;         /* work until standard input ends */
    bool hold;         /* keep the contexts until standard input ends */
    const char *trick; /* what this program does against the limits; NULL: nothing */
    struct barrier barrier;
    int timeout;
    uint64_t limit[LIMITS];
    const char *uuid[LIMITS]; /* NULL: for every GPU */
    unsigned limits;
} options = {.escapes = true, .timeout = TIMEOUT};

static bool stuck;
static struct device loaded; /* works when the report is out */
static const char *refused = ""; /* why the trick did not work */

static const char usage[] =
    "usage: gpushare-probe [--attempt|--fill|--context-only] [--limit [UUID=]BYTES]... [--path NAME]\n"
    "                      [--no-escapes|--outside] [--compute] [--timeout SECONDS]\n"
    "                      [--linger MILLISECONDS] [--hold [--load]]\n"
    "       gpushare-probe --scrub [--bytes N] [--look-only] [--timeout SECONDS]\n";

static void out_of_time(int signal)
{
    static const char answer[] = "{\"error\":\"out of time\"}\n";
    (void)signal;
    _exit(write(STDOUT_FILENO, answer, sizeof answer - 1) < 0 ? 1 : EXIT_TIME);
}

static bool add_limit(char *text)
{
    char *equals = strchr(text, '='), *end;
    unsigned at = options.limits++;
    if (at == LIMITS)
        return false;
    options.uuid[at] = equals ? strndup(text, (size_t)(equals - text)) : NULL;
    options.limit[at] = strtoull(equals ? equals + 1 : text, &end, 10);
    return *end == 0 && options.limit[at] > 0;
}

static const struct option long_options[] = {{"attempt", no_argument, NULL, 'a'},
                                             {"fill", no_argument, NULL, 'f'},
                                             {"context-only", no_argument, NULL, 'c'},
                                             {"limit", required_argument, NULL, 'l'},
                                             {"path", required_argument, NULL, 'p'},
                                             {"no-escapes", no_argument, NULL, 'n'},
                                             {"timeout", required_argument, NULL, 't'},
                                             {"outside", no_argument, NULL, 'o'},
                                             {"linger", required_argument, NULL, 'i'},
                                             {"look", no_argument, NULL, 'k'},
                                             {"compute", no_argument, NULL, 'u'},
                                             {"hold", no_argument, NULL, 'h'},
                                             {"load", no_argument, NULL, 'd'},
                                             {"trick", required_argument, NULL, 'r'},
                                             {"barrier", required_argument, NULL, 'b'},
                                             {"parts", required_argument, NULL, 's'},
                                             {"no-compute", no_argument, NULL, 'm'},
                                             {"scrub", no_argument, NULL, 'z'},
                                             {"bytes", required_argument, NULL, 'y'},
                                             {"look-only", no_argument, NULL, 'w'},
                                             {NULL, 0, NULL, 0}};

static bool parse(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (option) {
        case 'a': options.attempt.mode = ATTEMPT; break;
        case 'f': options.attempt.mode = FILL; break;
        case 'c': options.attempt.mode = CONTEXT_ONLY; break;
        case 'l':
            if (!add_limit(optarg))
                return false;
            break;
        case 'p': options.attempt.only = optarg; break;
        case 'n': options.escapes = false; break;
        case 'i': options.attempt.linger = atoi(optarg); break;
        case 'o': options.outside = true; break;
        case 'k': options.look = true; break;
        case 'u': options.compute = true; break;
        case 't': options.timeout = atoi(optarg); break;
        case 'h': options.hold = true; break;
        case 'd': options.load = true; break;
        case 'm': options.compute = false; break;
        case 'z': options.scrub.asked = true; break;
        case 'w': options.scrub.look = true; break;
        case 'y': options.scrub.bytes = strtoull(optarg, NULL, 10); break;
        case 'r': options.trick = optarg; break;
        case 's': options.attempt.parts = (unsigned)atoi(optarg); break;
        case 'b':
            if (!barrier_parse(optarg, &options.barrier))
                return false;
            break;
        default: return false;
        }
    }
    return optind == argc && options.timeout > 0 && options.attempt.linger >= 0;
}

/* The limit of this GPU; NULL: it is not the share's. */
static const uint64_t *own_limit(const char *uuid)
{
    for (unsigned i = 0; i < options.limits; i++)
        if (!options.uuid[i] || same_uuid(options.uuid[i], uuid))
            return &options.limit[i];
    return NULL;
}

/* A context on a GPU of others would take memory that they count on. */
static bool may_open(const char *uuid)
{
    return !options.limits || own_limit(uuid);
}

/* Without the guard an allocation may succeed and take memory that other shares count on. */
static void attempt(const struct device *device, struct json *json)
{
    const struct attempt outside = {.mode = options.outside ? ATTEMPT : CONTEXT_ONLY,
                                    .only = paths[0].name,
                                    .keep = options.hold,
                                    .parts = options.attempt.parts};
    attempt_all(device, options.look ? &outside : &options.attempt, json);
}

static bool tricked_by(const char *trick)
{
    return options.trick && strcmp(options.trick, trick) == 0;
}

/* "" if it was done or none was asked for. */
static const char *play_trick(void)
{
    if (tricked_by("timeslice"))
        return rm_set_long_timeslice();
    return tricked_by("wfi") ? rm_set_wfi_preemption() : "";
}

/* Without the guard it would take other shares' time. */
static int64_t measure(struct device *device)
{
    bool may = options.compute && (!options.look || options.outside) && !*refused;
    int64_t share = may ? compute_measure(device) : -1;
    device->stuck = share == 0;
    stuck |= device->stuck;
    return share;
}

static CUresult report_device(int ordinal, struct json *json)
{
    struct device device;
    CUresult result = device_find(&device, ordinal);
    bool mine = result == CUDA_SUCCESS && may_open(device.uuid);
    if (mine)
        result = device_open(&device);
    bool open = mine && result == CUDA_SUCCESS;
    if (open)
        refused = play_trick();
    json_open(json, NULL, '{');
    json_number(json, "result", result);
    const uint64_t *limit = own_limit(device.uuid);
    device.limit = limit ? *limit : device.total;
    device.gpu_free = escape_free(device.uuid);
    device_write(&device, json);
    json_number(json, "limit", (int64_t)device.limit);
    if (open && options.scrub.asked)
        scrub_run(&device, &options.scrub, json);
    else if (open)
        attempt(&device, json);
    barrier_wait(&options.barrier);
    json_count(json, "compute", open ? measure(&device) : -1);
    json_close(json, '}');
    if (open && options.load)
        loaded = device;
    if (open && !options.hold)
        device_close(&device);
    return result;
}

static const char *report_devices(struct json *json)
{
    static char error[64];
    int count = 0, version = 0;
    const char *reason = driver_open(tricked_by("dlmopen"));
    CUresult result = reason ? CUDA_SUCCESS : driver.cuInit(0);
    if (!reason && result == CUDA_SUCCESS)
        result = driver.cuDeviceGetCount(&count);
    if (!reason && result == CUDA_SUCCESS)
        driver.cuDriverGetVersion(&version);
    json_number(json, "cuda", version);
    json_open(json, "devices", '[');
    for (int ordinal = 0; ordinal < count && ordinal < GPUS; ordinal++)
        report_device(ordinal, json);
    json_close(json, ']');
    if (reason || result == CUDA_SUCCESS)
        return reason;
    snprintf(error, sizeof error, "CUDA error %d", result);
    return error;
}

static const char *own_devices(void)
{
    static char text[LIMITS * UUID_TEXT];
    size_t length = 0;
    for (unsigned i = 0; i < options.limits; i++)
        if (options.uuid[i] && length + UUID_TEXT < sizeof text)
            length += (size_t)snprintf(text + length, UUID_TEXT + 1, "%s%.*s", i ? "," : "",
                                       UUID_TEXT - 1, options.uuid[i]);
    return text;
}

/* Several processes hold what they allocate, so the share must be idle. */
static void try_crowd(char **look, int argc, struct json *json)
{
    if (options.attempt.mode != FILL || !options.outside)
        return;
    look[argc + 1] = "--hold";
    look[argc + 2] = "--parts=2";
    look[argc + 3] = NULL;
    json_open(json, NULL, '{');
    json_text(json, "name", "four processes");
    crowd_run(look, json);
    json_close(json, '}');
}

static void try_escapes(int argc, char **argv, struct json *json)
{
    char **look = calloc((size_t)argc + 6, sizeof *look);
    if (!look || options.look || !options.escapes || options.scrub.asked
        || options.attempt.mode == CONTEXT_ONLY)
        return free(look);
    memcpy(look, argv, (size_t)argc * sizeof *look);
    look[argc] = "--look";
    json_open(json, "escapes", '[');
    const struct escapees who = {look, own_devices(), options.compute && options.outside};
    escape_all(&who, json);
    try_crowd(look, argc, json);
    json_close(json, ']');
    free(look);
}

static int report(int argc, char **argv, FILE *out)
{
    struct json json = {out, false};
    const char *error, *pinned = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
    json_open(&json, NULL, '{');
    try_escapes(argc, argv, &json);
    nvml_open();
    region_open();
    error = report_devices(&json);
    /* Also without a device, because the other processes wait for this one. */
    barrier_wait(&options.barrier);
    json_text(&json, "driver", nvml_driver());
    json_text(&json, "pinned", pinned ? pinned : "");
    region_write(&json);
    json_text(&json, "refused", refused);
    json_text(&json, "error", error ? error : "");
    json_close(&json, '}');
    fputc('\n', out);
    return error ? EXIT_DRIVER : EXIT_SUCCESS;
}

/* The timeout goes on: a caller that forgets this program does not keep its contexts. */
static void wait_for_end(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t length = 0;
    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    /* The child of an escape ends with the probe, and the probe within its timeout. */
    if (options.look)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, out_of_time);
    alarm((unsigned int)options.timeout);
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return EXIT_FAILURE;
    int code = report(argc, argv, out);
    fclose(out);
    fputs(text, stdout);
    free(text);
    code = fflush(stdout) ? EXIT_FAILURE : code;
    if (options.load && loaded.stream)
        compute_load(&loaded);
    else if (options.hold)
        wait_for_end();
    /* At exit the driver's library would wait for work that never ends. */
    if (stuck)
        _exit(code);
    return code;
}
