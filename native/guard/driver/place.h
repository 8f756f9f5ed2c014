/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_PLACE_H
#define GS_PLACE_H

#include "driver/real.h"

/* Where an allocation goes. */
struct gs_place {
    int gpu; /* -1: not limited */
    CUcontext context;
    CUdevice device;
};

#endif
