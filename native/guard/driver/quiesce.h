/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that touches GPU memory or queues GPU work runs between gs_enter() and gs_leave(). While the process is
 * quiesced (its memory is away) gs_enter() waits; whoever quiesces it waits until nobody is between the two.
 */
#ifndef GS_QUIESCE_H
#define GS_QUIESCE_H

#include <stdbool.h>
#include <stdint.h>

/* False unless the share's memory can be moved: then entering costs one load. */
extern bool gs_quiesce_armed;

static inline bool gs_movable(void)
{
    return gs_quiesce_armed;
}

void gs_quiesce_enter(void);
void gs_quiesce_leave(void);

/* When the program starts: its share's memory can be moved, and `away` says that it may not use the GPU yet. */
void gs_quiesce_arm(bool away);

/*
 * Keeps everybody out, and waits until nobody is in or it is no longer wanted: who is in may wait for who is kept out.
 * False then, with nobody kept out.
 */
bool gs_quiesce(bool (*wanted)(void));
void gs_quiesce_end(void);
bool gs_is_quiesced(void);

/* Whether anybody entered since the last gs_quiesce_end(): what is in GPU memory may have changed. */
bool gs_quiesce_touched(void);
void gs_quiesce_touch(void);

/* In the child of a fork. */
void gs_quiesce_forget(void);

static inline void gs_enter(void)
{
    if (__builtin_expect(gs_quiesce_armed, 0))
        gs_quiesce_enter();
}

static inline void gs_leave(void)
{
    if (__builtin_expect(gs_quiesce_armed, 0))
        gs_quiesce_leave();
}

/* Runs a call that answers like the driver between the two. */
#define GS_INSIDE(act)                     \
    ({                                     \
        gs_enter();                        \
        __typeof__(act) gs_outcome_ = act; \
        gs_leave();                        \
        gs_outcome_;                       \
    })

#endif
