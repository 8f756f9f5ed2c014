/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirecting: the symbol tables of the driver's libraries name our hooks. So every lookup in them
 * finds the hooks: by a plug-in that was loaded with RTLD_DEEPBIND, by a library that brings its own
 * dlsym() or finds the real one past ours, and by lazy binding.
 *
 * In a namespace of its own a program has a second copy of the driver. All functions of that copy
 * lead to the first one, since the two know nothing of each other's contexts.
 *
 * Owner: resolve.c, once per library; dlopen.c, once per namespace. Threads: any; no lock.
 * Limits: what a program bound before stays bound. A table that cannot be written is counted as
 * `unhooked`.
 */
#ifndef GS_REDIRECT_H
#define GS_REDIRECT_H

/* A library of the driver whose hooks are known, by its handle. */
void gs_redirect(void *library, const char *name);

/* A copy of it in another namespace; `first` is the one of the program. */
void gs_redirect_copy(void *copy, void *first, const char *name);

#endif
