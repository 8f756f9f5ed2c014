/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "mps/state.h"

bool mps_parse_bytes(const char *text, uint64_t *bytes)
{
    char *unit;
    const uint64_t value = strtoull(text, &unit, 10);
    if (!isdigit((unsigned char)text[0]) || (unit[0] != '\0' && unit[1] != '\0'))
        return false;
    switch (tolower((unsigned char)unit[0])) {
    case 'g': *bytes = value << 30; return true;
    case 'm': *bytes = value << 20; return true;
    case 'k': *bytes = value << 10; return true;
    case '\0': *bytes = value; return true;
    default: return false;
    }
}

bool mps_parse_percent(const char *text, uint32_t *percent)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value > 0 && value <= 100))
        return false;
    *percent = value < 1 ? 1 : (uint32_t)value;
    return true;
}

bool mps_parse_pid(const char *text, pid_t *pid)
{
    char *end;
    const long value = strtol(text, &end, 10);
    *pid = (pid_t)value;
    return end != text && *end == '\0' && value > 0 && value < 1 << 30;
}

int mps_device_of(const char *text)
{
    char *end;
    const long ordinal = strtol(text, &end, 10);
    if (end != text && *end == '\0')
        return ordinal >= 0 && ordinal < mps.device_count ? mps.devices[ordinal] : -1;
    const int index = gs_device_by_uuid(mps.image, text);
    for (int i = 0; i < mps.device_count; i++)
        if (mps.devices[i] == index)
            return index;
    return -1;
}

static int machine_device(const char *token)
{
    char *end;
    const long ordinal = strtol(token, &end, 10);
    if (end != token && *end == '\0')
        return ordinal >= 0 && ordinal < (long)mps.image->gpus ? (int)ordinal : -1;
    return gs_device_by_uuid(mps.image, token);
}

void mps_find_devices(const char *visible)
{
    char list[2048], *rest = list, *token;
    mps.device_count = 0;
    if (visible == NULL) {
        for (int i = 0; i < (int)mps.image->gpus; i++)
            mps.devices[mps.device_count++] = i;
        return;
    }
    snprintf(list, sizeof list, "%s", visible);
    while ((token = strsep(&rest, ",")) != NULL && mps.device_count < GS_MAX_DEVICES) {
        const int index = machine_device(token + strspn(token, " "));
        if (index < 0)
            return;
        mps.devices[mps.device_count++] = index;
    }
}

void mps_limits_clear(mps_limits *limits)
{
    memset(limits, 0, sizeof *limits);
    limits->priority = MPS_UNSET;
}

/* A repeated entry moves to the end, where it takes precedence. */
bool mps_limits_pin(mps_limits *limits, const char *device, uint64_t bytes)
{
    int count = 0;
    for (int i = 0; i < MPS_MAX_PINNED && limits->pinned[i].device[0] != '\0'; i++)
        if (strcmp(limits->pinned[i].device, device) != 0)
            limits->pinned[count++] = limits->pinned[i];
    if (count == MPS_MAX_PINNED || strlen(device) >= sizeof limits->pinned[0].device)
        return false;
    memset(&limits->pinned[count], 0, sizeof limits->pinned[0] * (size_t)(MPS_MAX_PINNED - count));
    strcpy(limits->pinned[count].device, device);
    limits->pinned[count].bytes = bytes;
    return true;
}

bool mps_limits_pin_list(mps_limits *limits, const char *text)
{
    char list[512], *rest = list, *entry;
    uint64_t bytes;
    snprintf(list, sizeof list, "%s", text);
    while ((entry = strsep(&rest, ",")) != NULL) {
        char *value = strchr(entry, '=');
        if (value == NULL)
            return false;
        *value++ = '\0';
        if (!mps_parse_bytes(value, &bytes) || !mps_limits_pin(limits, entry, bytes))
            return false;
    }
    return true;
}

uint64_t mps_limits_pinned(const mps_limits *limits, int device)
{
    uint64_t bytes = GS_NO_LIMIT;
    for (int i = 0; i < MPS_MAX_PINNED && limits->pinned[i].device[0] != '\0'; i++)
        if (mps_device_of(limits->pinned[i].device) == device)
            bytes = limits->pinned[i].bytes;
    return bytes;
}

void mps_limits_from_environment(mps_limits *limits)
{
    const char *percent = getenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE");
    const char *pinned = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
    const char *priority = getenv("CUDA_MPS_CLIENT_PRIORITY");
    mps_limits_clear(limits);
    if (percent != NULL)
        mps_parse_percent(percent, &limits->thread_percentage);
    if (pinned != NULL && *pinned != '\0')
        mps_limits_pin_list(limits, pinned);
    if (priority != NULL && *priority != '\0')
        limits->priority = atoi(priority) != 0;
}
