/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which loaded object is a library of the driver.
 * Owner: none; no state. Threads: any; takes the loader's lock, as dlsym() does.
 * Limits: known by the file name, libcuda.so* or libnvidia-ml.so*.
 */
#ifndef GS_DRIVER_LIBRARY_H
#define GS_DRIVER_LIBRARY_H

#include <stdbool.h>

/* Whether the object that contains this address is one. */
bool gs_in_driver_library(const void *address);

/* The name of the library that a file name or path means; NULL: none of the driver. */
const char *gs_driver_library(const char *file);

/* Whether the loader looks for files in places of this caller's own (RPATH, RUNPATH). */
bool gs_has_own_paths(const void *caller);

#endif
