/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/setup/visible_list.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NONE = -1, LARGEST = 9999, PREFIX = 4 /* GPU- or MIG- */ };

/* The number that the text consists of; NONE if it does not, or if it is no GPU's. */
static int number_of(const char *token, size_t length)
{
    int number = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)token[i]))
            return NONE;
        number = number * 10 + token[i] - '0';
        if (number > LARGEST)
            return NONE;
    }
    return length ? number : NONE;
}

static int by_machine_number(const struct gs_region *region, const char *machine, int number)
{
    for (uint32_t g = 0; machine && g < region->gpu_count; g++) {
        size_t length = strcspn(machine, ",");
        if (number_of(machine, length) == number)
            return (int)g;
        machine = machine[length] ? machine + length + 1 : NULL;
    }
    return NONE;
}

static int by_number(const struct gs_region *region, const char *machine, const char *token,
                     size_t length)
{
    int number = number_of(token, length);
    if (number == NONE || number < (int)region->gpu_count)
        return number;
    return by_machine_number(region, machine, number);
}

/* An abbreviation has to name one GPU, as for the driver. */
static int by_uuid(const struct gs_region *region, const char *token, size_t length)
{
    int match = NONE;
    for (uint32_t g = 0; length > PREFIX && length < GS_UUID && g < region->gpu_count; g++) {
        if (strncmp(region->gpu[g].uuid, token, length) != 0)
            continue;
        if (match != NONE)
            return NONE;
        match = (int)g;
    }
    return match;
}

static int gpu_of(const struct gs_region *region, const char *machine, const char *token,
                  size_t length)
{
    for (; length && isspace((unsigned char)*token); length--)
        token++;
    while (length && isspace((unsigned char)token[length - 1]))
        length--;
    bool uuid = length > PREFIX
                && (strncmp(token, "GPU-", PREFIX) == 0 || strncmp(token, "MIG-", PREFIX) == 0);
    return uuid ? by_uuid(region, token, length) : by_number(region, machine, token, length);
}

static size_t add(const struct gs_region *region, int gpu, char *list, size_t at)
{
    return at
           + (size_t)snprintf(list + at, GS_VISIBLE_LIST - at, "%s%.*s", at ? "," : "", GS_UUID - 1,
                              region->gpu[gpu].uuid);
}

static void list_all(const struct gs_region *region, char list[GS_VISIBLE_LIST])
{
    size_t at = 0;
    for (uint32_t g = 0; g < region->gpu_count; g++)
        at = add(region, (int)g, list, at);
}

static bool has_moved(const struct gs_region *region)
{
    bool moved = false;
    for (uint32_t g = 0; g < region->gpu_count; g++)
        moved = moved || __atomic_load_n(&region->gpu[g].moves, __ATOMIC_RELAXED);
    return moved;
}

/* Whether it has as many UUIDs as the region; a part of them is a choice of the program. */
static bool names_all(const char *value, uint32_t count)
{
    uint32_t uuids = strncmp(value, "GPU-", PREFIX) == 0;
    for (const char *at = value; (at = strchr(at, ',')); at++)
        uuids += strncmp(at + 1, "GPU-", PREFIX) == 0;
    return uuids == count;
}

static void list_named(const struct gs_region *region, const char *machine, const char *value,
                       char list[GS_VISIBLE_LIST])
{
    size_t at = 0;
    for (uint32_t entries = 0; entries <= region->gpu_count && *value; entries++) {
        size_t length = strcspn(value, ",");
        int gpu = gpu_of(region, machine, value, length);
        if (gpu == NONE)
            return;
        at = add(region, gpu, list, at);
        value += length + (value[length] == ',');
    }
}

void gs_visible_list(const struct gs_region *region, const char *machine, const char *value,
                     char list[GS_VISIBLE_LIST])
{
    list[0] = 0;
    /* What the programs of a migrated share start inherits the UUIDs that the share came from. */
    if (!value || (has_moved(region) && names_all(value, region->gpu_count)))
        list_all(region, list);
    else
        list_named(region, machine, value, list);
}
