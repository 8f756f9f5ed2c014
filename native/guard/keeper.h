/* SPDX-License-Identifier: Apache-2.0 */
/* The guard's own thread in a process that takes turns or is urgent; it sleeps while there is nothing to keep. */
#ifndef GS_KEEPER_H
#define GS_KEEPER_H

/* Starts it, or ends its idle sleep. Cheap while it is awake. */
void gs_keeper_wake(void);

/* Makes it look at once: a time that it waits for has changed. */
void gs_keeper_wake_now(void);

void gs_keeper_forget(void);

#endif
