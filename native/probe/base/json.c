/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>

static void quoted(struct json *json, const char *text)
{
    fputc('"', json->out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(json->out, "\\%c", *c);
        else if (*c < 0x20 || *c > 0x7e)
            fprintf(json->out, "\\u%04x", *c);
        else
            fputc(*c, json->out);
    }
    fputc('"', json->out);
}

static void member(struct json *json, const char *name)
{
    if (json->more)
        fputc(',', json->out);
    json->more = true;
    if (name) {
        quoted(json, name);
        fputc(':', json->out);
    }
}

void json_open(struct json *json, const char *name, char bracket)
{
    member(json, name);
    fputc(bracket, json->out);
    json->more = false;
}

void json_close(struct json *json, char bracket)
{
    fputc(bracket, json->out);
    json->more = true;
}

void json_number(struct json *json, const char *name, int64_t value)
{
    member(json, name);
    fprintf(json->out, "%" PRId64, value);
}

void json_count(struct json *json, const char *name, int64_t value)
{
    if (value < 0)
        json_raw(json, name, "");
    else
        json_number(json, name, value);
}

void json_bool(struct json *json, const char *name, bool value)
{
    member(json, name);
    fputs(value ? "true" : "false", json->out);
}

void json_text(struct json *json, const char *name, const char *value)
{
    member(json, name);
    quoted(json, value);
}

void json_raw(struct json *json, const char *name, const char *value)
{
    member(json, name);
    fputs(*value ? value : "null", json->out);
}
