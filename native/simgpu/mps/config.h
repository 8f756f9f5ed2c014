/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: parse what users write: sizes, percentages, devices, limits.
 * Owner: none.
 * Threads: one.
 * Limits: accepts exactly what the real tool accepts (driver 580), for example no "4GiB".
 */
#ifndef GS_SIM_MPS_CONFIG_H
#define GS_SIM_MPS_CONFIG_H

#include "mps/state.h"

bool mps_parse_bytes(const char *text, uint64_t *bytes);
bool mps_parse_percent(const char *text, uint32_t *percent);
bool mps_parse_pid(const char *text, pid_t *pid);
/* Ordinal of the daemon or UUID -> index in the image, -1: none. */
int mps_device_of(const char *text);
void mps_find_devices(const char *visible);
void mps_limits_clear(mps_limits *limits);
bool mps_limits_pin(mps_limits *limits, const char *device, uint64_t bytes);
bool mps_limits_pin_list(mps_limits *limits, const char *text); // "0=4G,GPU-...=512M"
uint64_t mps_limits_pinned(const mps_limits *limits, int device);
void mps_limits_from_environment(mps_limits *limits);

#endif
