/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SIM_CUDA_GROUP_H
#define GS_SIM_CUDA_GROUP_H

#include "cuda/core/sim.h"

/* A context has a channel group of its own now, unless it is a client of MPS. */
void gs_group_made(CUcontext ctx);

#endif
