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
 * Bytes of this process on a card, just after its context was made. Where NVML does not list the process:
 * what the card's use grew by since `before`, which is right only while nobody else allocates.
 */
int64_t nvml_context(const char *uuid, int64_t before);

#endif
