/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a module as data: its kernels and its global variables.
 * Owner: cuda/code/module.c creates and destroys modules. A library is a module that no context
 *   owns.
 * Threads: under sim.lock.
 * Limits: names up to 159 characters, 64 parameters per kernel.
 */
#ifndef GS_SIM_CUDA_MODULE_KERNELS_H
#define GS_SIM_CUDA_MODULE_KERNELS_H

#include "cuda/execution/kernel.h"

typedef struct gs_global {
    char name[160];
    size_t size;
    CUdeviceptr at; /* 0: not allocated yet */
    struct gs_global *next;
} gs_global;

struct CUmod_st {
    CUcontext ctx;
    CUlibrary library;
    CUfunction functions;
    bool closed; /* every kernel it has is listed; otherwise it has every name that is asked for */
    gs_global *globals;
    uint64_t bytes; /* of data and code in an ELF image */
    CUdeviceptr data; /* where they are; 0: not loaded, or they fit into what a context has */
    CUmodule next;
};

/* The kernel of that name, created if it is new. params -1: unknown. */
CUfunction gs_module_add(CUmodule module, const char *name, size_t length, int params);
gs_global *gs_module_add_global(CUmodule module, const char *name, uint64_t size);

#endif
