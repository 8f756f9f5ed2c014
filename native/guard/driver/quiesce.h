/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quiescing: keeping every thread out of the driver while memory moves.
 *
 * Every hook that touches GPU memory or queues GPU work calls the driver between gs_enter() and
 * gs_leave(). While the process is quiesced, gs_enter() waits. gs_quiesce() closes the entrance and
 * returns when no thread is inside.
 *
 * Invariants:
 * 1. A thread that enters raises its counter first and then reads `quiesced`; gs_quiesce() sets
 *    `quiesced` first and then reads the counters. So at least one of the two notices the other.
 * 2. Entering is counted per thread: a driver call inside a driver call enters once.
 * 3. `touched` is set by every entry and cleared by gs_quiesce_end() only: while it is false, GPU
 *    memory is as the last transfer left it.
 *
 * Owner: the suspend thread quiesces and ends it. A process that starts in a suspended share is
 * quiesced from the start and may have no suspend thread yet; then the waiting threads end it when
 * the share is resumed.
 * Threads: any may enter. Cost: one load in shares that are not movable, one atomic addition in
 * those that are.
 * Limits: code inside must not take locks of the guard that the suspend thread holds.
 */
#ifndef GS_QUIESCE_H
#define GS_QUIESCE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the share's memory can be moved. Set before the program's main(). */
extern bool gs_quiesce_armed;

static inline bool gs_movable(void)
{
    return gs_quiesce_armed;
}

void gs_quiesce_enter(void);
void gs_quiesce_leave(void);

/*
 * At the start, for a movable share; `away`: the share is suspended, so the process starts
 * quiesced.
 */
void gs_quiesce_arm(bool away);

/*
 * Closes the entrance and waits until no thread is inside. A thread inside may itself wait, through
 * the driver, for one outside, so waiting ends as soon as still_ordered() is false; then the
 * entrance is open again and the result is false.
 */
bool gs_quiesce(bool (*still_ordered)(void));
void gs_quiesce_end(void);
bool gs_is_quiesced(void);

/* Whether a thread entered since the last gs_quiesce_end(), so that GPU memory may have changed. */
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

/* The result of a call that runs between the two. */
#define GS_INSIDE(act)                     \
    ({                                     \
        gs_enter();                        \
        __typeof__(act) gs_outcome_ = act; \
        gs_leave();                        \
        gs_outcome_;                       \
    })

#endif
