/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an allocation goes: a value that the hooks pass down. Made by hooks/setup/context.c.
 * Owner: the hook that asked for it; no other state. Threads: any.
 * Limits: a copy; it is not updated when the context ends.
 */
#ifndef GS_PLACE_H
#define GS_PLACE_H

#include "driver/real.h"

struct gs_place {
    int gpu; /* index in the region; -1: not limited */
    CUcontext context;
    CUdevice device;
};

#endif
