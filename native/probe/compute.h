/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a GPU's time a program gets that wants all of it. */
#ifndef GS_PROBE_COMPUTE_H
#define GS_PROBE_COMPUTE_H

#include "device.h"

/* In basis points; -1: it could not be measured. Takes a second and a half. */
int64_t compute_measure(const struct device *device);

#endif
