/* SPDX-License-Identifier: Apache-2.0 */
#include "attempt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "paths.h"

enum { MOST_HOLDS = 1 << 17 };

struct holds {
    struct hold *list;
    unsigned count;
    uint64_t bytes;
};

static uint64_t pages_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static CUresult allocate(const struct device *device, const struct path *path, uint64_t bytes,
                         struct holds *holds)
{
    if (holds->count == MOST_HOLDS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct hold *hold = &holds->list[holds->count];
    memset(hold, 0, sizeof *hold);
    CUresult result = path->take(device, bytes, hold);
    if (result == CUDA_SUCCESS) {
        holds->count++;
        holds->bytes += bytes;
    }
    return result;
}

/* The result of the last refusal; success when `most` bytes were allocated. */
static CUresult fill(const struct device *device, const struct path *path, uint64_t most,
                     struct holds *holds)
{
    CUresult result = CUDA_SUCCESS;
    uint64_t chunk = PAGE;
    while (2 * chunk <= most && (!path->largest || 2 * chunk <= path->largest(device)))
        chunk *= 2;
    for (; chunk >= PAGE; chunk /= 2)
        while (holds->bytes < most
               && (result = allocate(device, path, chunk, holds)) == CUDA_SUCCESS)
            ;
    return holds->bytes >= most ? CUDA_SUCCESS : result;
}

static const char *skipped(const struct device *device, const struct path *path, uint64_t asked,
                           enum mode mode)
{
    if (mode == ATTEMPT && path->largest && asked > path->largest(device))
        return "one such array cannot be that large";
    if (path->virtual && device->gpu_free < 2 * (int64_t)asked)
        return "managed memory could exceed the GPU's memory";
    return "";
}

static void run(const struct device *device, const struct path *path, const struct attempt *attempt,
                struct json *json)
{
    enum mode mode = attempt->mode;
    uint64_t asked = pages_up(device->limit / (attempt->parts ? attempt->parts : 1) + 1);
    struct holds holds = {calloc(mode == FILL ? MOST_HOLDS : 1, sizeof(struct hold)), 0, 0};
    const char *reason = holds.list ? skipped(device, path, asked, mode) : "no memory for the list";
    CUresult result = CUDA_SUCCESS, freed = CUDA_SUCCESS;
    if (!*reason)
        result = mode == FILL ? fill(device, path, asked, &holds)
                              : allocate(device, path, asked, &holds);
    if (holds.count)
        usleep((useconds_t)attempt->linger * 1000);
    for (unsigned i = attempt->keep ? 0 : holds.count; i-- > 0;)
        if (path->give(device, &holds.list[i]) != CUDA_SUCCESS)
            freed = CUDA_ERROR_UNKNOWN;
    free(holds.list);
    json_open(json, NULL, '{');
    json_text(json, "path", path->name);
    json_number(json, "asked", (int64_t)asked);
    json_number(json, "held", (int64_t)holds.bytes);
    json_number(json, "result", result);
    json_bool(json, "returned", freed == CUDA_SUCCESS);
    json_text(json, "skipped", reason);
    json_close(json, '}');
}

void attempt_all(const struct device *device, const struct attempt *attempt, struct json *json)
{
    json_open(json, "attempts", '[');
    for (unsigned i = 0; attempt->mode != CONTEXT_ONLY && i < path_count; i++)
        if (!attempt->only || strcmp(attempt->only, paths[i].name) == 0)
            run(device, &paths[i], attempt, json);
    json_close(json, ']');
}
