/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlsym() and dlvsym(), which the guard interposes because programs look up the driver's functions
 * with them.
 * Owner: dlsym.c, which finds each of the two real functions once.
 * Threads: any; takes the lock of resolve.c for the driver's functions only. Keeps errno and
 * dlerror().
 * Limits: see gs_hooks_symbol() for what is answered.
 */
#ifndef GS_DLSYM_H
#define GS_DLSYM_H

typedef void *gs_dlsym(void *handle, const char *symbol);

/* The dlsym() that the program would call without the guard. */
gs_dlsym *gs_next_dlsym(void);

#endif
