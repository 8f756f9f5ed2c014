/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_ELF_H
#define GS_ELF_H

/*
 * The first definition of a function in load order after ours. dlsym cannot be used to find the real dlsym when
 * both dlsym and dlvsym are interposed, and other libraries' constructors may need it before ours has run.
 */
void *gs_next_definition(const char *symbol);

#endif
