/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that touches GPU memory or queues GPU work runs between gs_enter() and gs_leave(). While the process is
 * halted (its memory is away) gs_enter() waits; whoever halts it waits until nobody is between the two.
 */
#ifndef GS_HALT_H
#define GS_HALT_H

#include <stdbool.h>
#include <stdint.h>

/* False unless the share's memory can be moved: then entering costs one load. */
extern bool gs_halt_armed;

void gs_halt_enter(void);
void gs_halt_leave(void);

static inline void gs_enter(void)
{
    if (__builtin_expect(gs_halt_armed, 0))
        gs_halt_enter();
}

static inline void gs_leave(void)
{
    if (__builtin_expect(gs_halt_armed, 0))
        gs_halt_leave();
}

#endif
