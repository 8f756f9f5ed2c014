/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: read kernel names, parameters and global variables from PTX text and ELF cubins.
 * Owner: the module that is read into.
 * Threads: under sim.lock.
 * Limits: images come from the program itself and are trusted as on a real driver; sizes are not
 *   checked.
 */
#ifndef GS_SIM_CUDA_IMAGE_H
#define GS_SIM_CUDA_IMAGE_H

#include "cuda/code/module_kernels.h"

bool gs_ptx_parse(CUmodule module, const char *text);
bool gs_elf_parse(CUmodule module, const unsigned char *image);

#endif
