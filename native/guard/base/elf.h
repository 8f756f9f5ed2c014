/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbol tables of loaded libraries: lookup without dlsym(), and changing them. dlsym() cannot find the real dlsym() when both
 * dlsym and dlvsym are interposed, and constructors of other libraries may need it before ours has
 * run.
 * Owner: none; no state. Threads: any; takes no lock, not even the loader's.
 * Limits: functions only; unversioned, so the first definition counts.
 */
#ifndef GS_ELF_H
#define GS_ELF_H

#include <stdbool.h>

/*
 * The first definition of a function in load order after this library, or before it if it was
 * loaded by dlopen().
 */
void *gs_next_definition(const char *symbol);

/*
 * Changes what lookups in a loaded object find: for each function that it defines, `other` returns
 * the function to find instead, or NULL to keep it. What is bound already stays. `object` is what
 * dlopen() returned. False when its symbol table cannot be written.
 */
bool gs_redefine(void *object, void *(*other)(const char *name, void *function));

#endif
