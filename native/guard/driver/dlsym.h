/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_DLSYM_H
#define GS_DLSYM_H

typedef void *gs_dlsym(void *handle, const char *symbol);

/* The dlsym that would have answered without us. */
gs_dlsym *gs_next_dlsym(void);

#endif
