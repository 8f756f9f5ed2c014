/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: objects of the program that live as long as a graph needs them.
 * Owner: reference counted; each graph keeps a list of the objects that it retains.
 * Threads: under sim.lock; the destructor of the program runs under it too.
 * Limits: a destructor must not call CUDA, as NVIDIA documents.
 */
#ifndef GS_SIM_CUDA_USER_OBJECT_H
#define GS_SIM_CUDA_USER_OBJECT_H

#include "cuda/core/driver.h"

typedef struct gs_retained {
    CUuserObject object;
    unsigned int count;
    struct gs_retained *next;
} gs_retained;

CUresult gs_user_object_retain(gs_retained **list, CUuserObject object, unsigned int count,
                               bool move);
CUresult gs_user_object_release(gs_retained **list, CUuserObject object, unsigned int count);
void gs_user_objects_drop(gs_retained *list);

#endif
