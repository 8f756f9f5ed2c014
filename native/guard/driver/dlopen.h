/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen() and dlmopen(), which the guard interposes because what they load may look past it: with
 * RTLD_DEEPBIND a plug-in finds the driver before the guard, and in a namespace of its own it does
 * not find the guard at all.
 *
 * Both load the driver's libraries first, so that their symbol tables name our hooks (redirect.h)
 * before anything is bound to them. Then they leave the call to the real function as a tail call,
 * because that finds files by the RPATH or RUNPATH of its caller.
 *
 * Owner: dlopen.c. Threads: any; no lock. Keeps errno and dlerror() of the real call.
 * Limits: a bare file name is loaded first only if no RPATH or RUNPATH could lead to another file;
 * a driver in a namespace that was made without dlmopen() of ours is not limited.
 */
#ifndef GS_DLOPEN_H
#define GS_DLOPEN_H

typedef void *gs_dlopen(const char *file, int mode);

/* The dlopen() that the program would call without the guard. */
gs_dlopen *gs_next_dlopen(void);

/* In the child of a fork. */
void gs_dlopen_forget(void);

#endif
