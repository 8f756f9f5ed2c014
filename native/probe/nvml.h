/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory in use, from NVML.
 * Owner: the process; the library is not unloaded.
 * Threads: the main thread.
 * Limits: without NVML every answer is -1 or empty.
 */
#ifndef GS_PROBE_NVML_H
#define GS_PROBE_NVML_H

#include <stdint.h>

void nvml_open(void);
const char *nvml_driver(void);

/* Bytes in use on a GPU. */
int64_t nvml_gpu_used(const char *uuid);

/* Bytes of this process' context, just after it was created; `before`: nvml_gpu_used() before. */
int64_t nvml_context(const char *uuid, int64_t before);

#endif
