/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v3: the configuration file (-a FILE): TOML as far as its schema 1.0 needs it. Unknown keys are
 * errors.
 */
#include "mps/dialect/v3_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/image.h"
#include "mps/control/servers.h"
#include "mps/dialect/v3_call.h"
#include "mps/dialect/v3_resources.h"
#include "mps/dialect/v3_server.h"
#include "mps/state.h"

typedef enum { SECTION_TOP, SECTION_SERVER, SECTION_NAMESPACE, SECTION_FEATURE } section_kind;

typedef struct section {
    section_kind kind;
    char server[MPS_NAME], space[MPS_NAME];
    mps_limits limits;
    char devices[1024];
    uint32_t uid;
} section;

static char *trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t end = strlen(text); end > 0 && isspace((unsigned char)text[end - 1]); end--)
        text[end - 1] = '\0';
    return text;
}

static void cut_comment(char *line)
{
    bool quoted = false;
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '"')
            quoted = !quoted;
        if (*at != '#' || quoted)
            continue;
        *at = '\0';
        return;
    }
}

static char *unquote(char *value)
{
    const size_t length = strlen(value);
    if (length < 2 || value[0] != '"' || value[length - 1] != '"')
        return value;
    value[length - 1] = '\0';
    return value + 1;
}

/* A section is applied when the next one begins. */
static bool apply(const section *section)
{
    if (section->kind == SECTION_SERVER)
        return v3_server_create(section->server, section->uid, &section->limits,
                                v3_devices(section->devices[0] != '\0' ? section->devices : NULL))
               != NULL;
    if (section->kind != SECTION_NAMESPACE)
        return true;
    const mps_server *server = mps_server_by_name(section->server);
    return server != NULL
           && v3_namespace_create((int)(server - mps.servers), section->space, &section->limits);
}

static bool open_section(section *section, char *name)
{
    *section = (struct section){.uid = (uint32_t)geteuid(), .limits = {.priority = MPS_UNSET}};
    if (sscanf(name, "servers.%71[a-z0-9_].namespaces.%71[a-z0-9_]", section->server,
               section->space)
        == 2)
        section->kind = SECTION_NAMESPACE;
    else if (sscanf(name, "servers.%71[a-z0-9_]", section->server) == 1
             && strlen(name) == 8 + strlen(section->server))
        section->kind = SECTION_SERVER;
    else if (sscanf(name, "features.%71s", section->space) == 1)
        section->kind = SECTION_FEATURE;
    else
        return false;
    return section->kind == SECTION_FEATURE || v3_is_name(section->server);
}

static bool server_key(section *section, const char *key, const char *value)
{
    if (strcmp(key, "uid") == 0)
        section->uid = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "allowed_devices") == 0)
        snprintf(section->devices, sizeof section->devices, "%s", value);
    else if (strcmp(key, "locality_domains") != 0)
        return v3_set_limit(&section->limits, key, value);
    return true;
}

static bool feature_key(const section *section, const char *key, const char *value)
{
    if (strcmp(key, "enabled") == 0)
        return v3_feature_set(section->space, strcmp(value, "true") == 0);
    return strcmp(key, "audit_log") == 0 || strcmp(key, "default_socket") == 0;
}

static bool take_key(section *section, const char *key, const char *value)
{
    switch (section->kind) {
    case SECTION_TOP: return strcmp(key, "schema_version") == 0 && strcmp(value, "1.0") == 0;
    case SECTION_SERVER: return server_key(section, key, value);
    case SECTION_NAMESPACE: return v3_set_limit(&section->limits, key, value);
    case SECTION_FEATURE: return feature_key(section, key, value);
    }
    return false;
}

static bool take_line(section *section, char *line)
{
    cut_comment(line);
    line = trim(line);
    const size_t length = strlen(line);
    if (length == 0)
        return true;
    if (line[0] == '[' && line[length - 1] == ']') {
        line[length - 1] = '\0';
        return apply(section) && open_section(section, trim(line + 1));
    }
    char *value = strchr(line, '=');
    if (value == NULL)
        return false;
    *value++ = '\0';
    return take_key(section, trim(line), unquote(trim(value)));
}

bool mps_v3_apply(const char *file, FILE *errors)
{
    FILE *input = fopen(file, "re");
    section section = {.kind = SECTION_TOP};
    char line[1200];
    bool valid = input != NULL;
    if (!valid)
        fprintf(errors, "error: %s: %s\n", file, strerror(errno));
    gs_image_lock(mps.image);
    for (int number = 1; valid && fgets(line, sizeof line, input) != NULL; number++) {
        valid = take_line(&section, line);
        if (!valid)
            fprintf(errors, "error: %s:%d: invalid line\n", file, number);
    }
    if (valid)
        valid = apply(&section);
    gs_image_unlock(mps.image);
    if (input != NULL)
        fclose(input);
    return valid;
}
