/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an allocation goes: a value that the hooks pass down. Made by hooks/setup/context.c.
 * Threads: any; no state.
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
