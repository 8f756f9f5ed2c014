/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a GPU as a program in this environment sees it, with a context on it.
 * Owner: device_open() retains the primary context and creates a stream; device_close() releases both.
 * Threads: the main thread.
 * Limits: after a failed device_open() only the identity may be valid.
 */
#ifndef GS_PROBE_DEVICE_H
#define GS_PROBE_DEVICE_H

#include <stdbool.h>

#include "driver.h"
#include "base/json.h"

enum { UUID_TEXT = 48, GPUS = 64 };

struct device {
    CUdevice handle;
    int ordinal, multiprocessors, texture_width, texture_height, texture_depth;
    char uuid[UUID_TEXT], name[96];
    uint64_t total, free;
    uint64_t limit;    /* the share's limit on this GPU */
    int64_t gpu_free; /* free for a program without the guard; -1: not known */
    int64_t context;   /* bytes this process' context costs; -1: not known */
    CUstream stream;
    bool stuck; /* work that never ends is in the stream */
};

/* What it is, without a context. */
CUresult device_find(struct device *device, int ordinal);

CUresult device_open(struct device *device);
void device_close(struct device *device);
void device_write(const struct device *device, struct json *json);

/* Whether two UUIDs name one GPU, ignoring prefix and case. */
bool same_uuid(const char *a, const char *b);

#endif
