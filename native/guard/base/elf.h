/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbol lookup in loaded libraries without dlsym(). dlsym() cannot find the real dlsym() when both
 * dlsym and dlvsym are interposed, and constructors of other libraries may need it before ours has
 * run.
 * Owner: none; no state. Threads: any; takes no lock, not even the loader's.
 * Limits: functions only; unversioned, so the first definition counts.
 */
#ifndef GS_ELF_H
#define GS_ELF_H

/*
 * The first definition of a function in load order after this library, or before it if it was
 * loaded by dlopen().
 */
void *gs_next_definition(const char *symbol);

#endif
