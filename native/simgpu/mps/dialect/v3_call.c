/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/dialect/v3_call.h"

#include <stdarg.h>
#include <string.h>

#include "mps/config.h"
#include "mps/state.h"

const char *v3_option(const v3_call *call, const char *key)
{
    for (int i = 0; i < call->option_count; i++)
        if (strcmp(call->options[i].key, key) == 0)
            return call->options[i].value;
    return NULL;
}

void v3_error(const v3_call *call, const char *format, ...)
{
    va_list arguments;
    fputs("error: ", call->out);
    va_start(arguments, format);
    vfprintf(call->out, format, arguments);
    va_end(arguments);
    fputc('\n', call->out);
}

void v3_unknown_verb(const v3_call *call)
{
    v3_error(call, "unknown verb \"%s %s\"", call->module, call->verb);
}

void v3_row(const v3_call *call, int count, char cells[][V3_CELL])
{
    for (int i = 0; i < count; i++) {
        const char *end = i + 1 == count ? "\n" : call->csv ? "," : "  ";
        fprintf(call->out, call->csv || i + 1 == count ? "%s%s" : "%-18s%s", cells[i], end);
    }
}

void v3_header(const v3_call *call, const char *comma_list)
{
    char list[512], *rest = list, *word, cells[V3_COLUMNS + 4][V3_CELL];
    int count = 0;
    if (!call->header)
        return;
    snprintf(list, sizeof list, "%s", comma_list);
    while ((word = strsep(&rest, ",")) != NULL)
        snprintf(cells[count++], V3_CELL, "%s", word);
    v3_row(call, count, cells);
}

bool v3_is_name(const char *name)
{
    const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length <= 64 && name[length] == '\0';
}

static bool pin_everywhere(mps_limits *limits, const char *value)
{
    uint64_t bytes;
    char ordinal[16];
    if (!mps_parse_bytes(value, &bytes))
        return false;
    for (int i = 0; i < mps.device_count; i++) {
        snprintf(ordinal, sizeof ordinal, "%d", i);
        if (!mps_limits_pin(limits, ordinal, bytes))
            return false;
    }
    return true;
}

bool v3_set_limit(mps_limits *limits, const char *key, const char *value)
{
    if (strcmp(key, "active_thread_percentage") == 0)
        return mps_parse_percent(value, &limits->thread_percentage);
    if (strcmp(key, "pinned_memory_limit") == 0)
        return strchr(value, '=') != NULL ? mps_limits_pin_list(limits, value)
                                          : pin_everywhere(limits, value);
    if (strcmp(key, "client_priority") != 0 || (strcmp(value, "0") != 0 && strcmp(value, "1") != 0))
        return false;
    limits->priority = value[0] - '0';
    return true;
}

bool v3_limits(const v3_call *call, mps_limits *limits)
{
    static const char *const pairs[][2] = {{"--active-thread-percentage",
                                            "active_thread_percentage"},
                                           {"--pinned-memory-limit", "pinned_memory_limit"},
                                           {"--client-priority", "client_priority"}};
    for (int i = 0; i < 3; i++) {
        const char *value = v3_option(call, pairs[i][0]);
        if (value == NULL || v3_set_limit(limits, pairs[i][1], value))
            continue;
        v3_error(call, "invalid value \"%s\" for %s", value, pairs[i][0]);
        return false;
    }
    return true;
}

void v3_show_limits(const mps_limits *limits, char cells[3][V3_CELL])
{
    int used = 0;
    snprintf(cells[0], V3_CELL, "%u",
             limits->thread_percentage == 0 ? 100 : limits->thread_percentage);
    cells[1][0] = '\0';
    for (int i = 0;
         i < MPS_MAX_PINNED && limits->pinned[i].device[0] != '\0' && used < V3_CELL - 40; i++)
        used +=
            snprintf(cells[1] + used, (size_t)(V3_CELL - used), "%s%.32s=%lluM", i > 0 ? ";" : "",
                     limits->pinned[i].device, (unsigned long long)(limits->pinned[i].bytes >> 20));
    snprintf(cells[2], V3_CELL, "%d", limits->priority == 1);
}

static bool takes_word(const char *key)
{
    return strcmp(key, "--all") != 0 && strcmp(key, "--include-remainder") != 0;
}

void v3_read_words(v3_call *call, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        if (strncmp(words[i], "--", 2) != 0) {
            call->names[call->name_count++] = words[i];
            continue;
        }
        char *key = words[i], *value = strchr(key, '=');
        if (value != NULL)
            *value++ = '\0';
        else if (takes_word(key) && i + 1 < count)
            value = words[++i];
        call->options[call->option_count].key = key;
        call->options[call->option_count++].value = value != NULL ? value : "";
    }
}

bool v3_choose_format(v3_call *call)
{
    const char *format = v3_option(call, "--format");
    call->csv = format != NULL && strncmp(format, "csv", 3) == 0;
    call->header = format == NULL || strstr(format, "noheader") == NULL;
    if (format == NULL || call->csv || strncmp(format, "table", 5) == 0)
        return true;
    v3_error(call, "unknown format \"%s\"", format);
    return false;
}
