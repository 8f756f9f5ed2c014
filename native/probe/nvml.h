/* SPDX-License-Identifier: Apache-2.0 */
/* What NVML says about memory in use; everything is -1 or empty without it. */
#ifndef GS_PROBE_NVML_H
#define GS_PROBE_NVML_H

#include <stdint.h>

void nvml_open(void);
const char *nvml_driver(void);

/* Bytes in use on a card. */
int64_t nvml_card_used(const char *uuid);

/*
 * Bytes that this process' context took on a card, just after it was made; `before`: nvml_card_used
 * then.
 */
int64_t nvml_context(const char *uuid, int64_t before);

#endif
