/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: write one JSON value to a stream.
 * Owner: the caller keeps the stream.
 * Threads: one writer per value.
 * Limits: a name of NULL is for elements of a list. Nesting is not checked.
 */
#ifndef GS_PROBE_JSON_H
#define GS_PROBE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    bool more; /* a comma is due before the next member */
};

void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);
void json_number(struct json *json, const char *name, int64_t value);
void json_count(struct json *json, const char *name, int64_t value); /* below zero: null */
void json_bool(struct json *json, const char *name, bool value);
void json_text(struct json *json, const char *name, const char *value);

/* `value` is JSON already; empty: null. */
void json_raw(struct json *json, const char *name, const char *value);

#endif
