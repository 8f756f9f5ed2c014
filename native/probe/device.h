/* SPDX-License-Identifier: Apache-2.0 */
/* A GPU as a program in this environment sees it, with a context on it. */
#ifndef GS_PROBE_DEVICE_H
#define GS_PROBE_DEVICE_H

#include <stdbool.h>

#include "driver.h"
#include "json.h"

enum { UUID_TEXT = 48, GPUS = 64 };

struct device {
    CUdevice handle;
    int ordinal, multiprocessors, texture_width, texture_height, texture_depth;
    char uuid[UUID_TEXT], name[96];
    uint64_t total, free;
    uint64_t limit;    /* what the share may hold here */
    int64_t card_free; /* free for a program without the guard; -1: not known */
    int64_t context;   /* bytes this process' context costs; -1: not known */
    CUstream stream;
};

CUresult device_open(struct device *device, int ordinal);
void device_close(struct device *device);
void device_write(const struct device *device, struct json *json);

/* Whether two UUIDs name one GPU, whatever their prefix and case. */
bool same_uuid(const char *a, const char *b);

#endif
