/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that touches GPU memory or queues GPU work runs between gs_enter() and gs_leave(). While the process is
 * halted (its memory is away) gs_enter() waits; whoever halts it waits until nobody is between the two.
 */
#ifndef GS_QUIESCE_H
#define GS_QUIESCE_H

#include <stdbool.h>
#include <stdint.h>

/* False unless the share's memory can be moved: then entering costs one load. */
extern bool gs_halt_armed;

static inline bool gs_movable(void)
{
    return gs_halt_armed;
}

void gs_halt_enter(void);
void gs_halt_leave(void);

/* When the program starts: its share's memory can be moved, and `away` says that it may not use the GPU yet. */
void gs_halt_arm(bool away);

/*
 * Keeps everybody out, and waits until nobody is in or it is no longer wanted: who is in may wait for who is kept out.
 * False then, with nobody kept out.
 */
bool gs_halt(bool (*wanted)(void));
void gs_unhalt(void);
bool gs_halted(void);

/* Whether anybody entered since the last gs_unhalt(): what is in GPU memory may have changed. */
bool gs_halt_touched(void);
void gs_halt_touch(void);

/* In the child of a fork. */
void gs_halt_forget(void);

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

/* Runs a call that answers like the driver between the two. */
#define GS_INSIDE(act)                      \
    ({                                      \
        gs_enter();                         \
        __typeof__(act) gs_outcome_ = act;  \
        gs_leave();                         \
        gs_outcome_;                        \
    })

#endif
