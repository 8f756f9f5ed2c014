/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant can do about its limits: start again with another environment and look. */
#ifndef GS_PROBE_ESCAPE_H
#define GS_PROBE_ESCAPE_H

#include "json.h"

/*
 * Runs this program again as each escape would, before this process has touched the driver.
 * `arguments` go along. Writes a list of {name, view}, where view is what the child printed, or
 * null.
 */
void escape_all(char *const arguments[], struct json *json);

/* The most any escape found free on that GPU, or -1; valid after escape_all. */
int64_t escape_free(const char *uuid);

#endif
