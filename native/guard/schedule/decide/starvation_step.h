/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a low share runs although high-priority work closes its gate: because the process that
 * closed it is dead or stopped, because the share is about to be suspended, or because it had
 * nothing for a whole window.
 *
 * Time is divided into windows of 100 ms. A share whose gate was closed throughout one window may
 * run for a part of the next. A process that lives renews its heartbeat every millisecond while its
 * bit is set; 50 ms without is silence.
 *
 * Owner: starvation.c. Pure: no clock, no page, no driver.
 * Threads: any; each state belongs to one at a time.
 * Limits: one run per share and window, of at most half a window.
 */
#ifndef GS_STARVATION_STEP_H
#define GS_STARVATION_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* What one process knows of its share's gate between two steps. */
struct gs_starvation_state {
    uint64_t window; /* the newest one looked at */
    bool seen_open;  /* the gate was open in it */
    uint64_t fences; /* put into streams until then */
};

struct gs_starvation_view {
    bool closed;     /* by high-priority work */
    bool draining;   /* this process is about to be suspended */
    uint64_t fences; /* that this process has put into streams */
};

struct gs_starvation_decision {
    struct gs_starvation_state next;
    bool opens;       /* the gate opens at once */
    bool looks; /* silent processes among those that closed it are overruled */
    bool starved; /* a run is due, unless another process of the share has taken the window */
    uint64_t look_at;
};

struct gs_starvation_decision gs_starvation_step(const struct gs_starvation_state *before,
                                                 const struct gs_starvation_view *view,
                                                 uint64_t now);

/* The process that owns a bit, as the page shows it; all zero when there is none. Times in ns. */
struct gs_bit_owner {
    bool known;
    uint64_t beat_ns; /* its newest heartbeat */
    uint64_t until_ns; /* its bit means nothing from then on */
};

bool gs_bit_owner_is_silent(const struct gs_bit_owner *owner, uint64_t now);

/* Whether its bit keeps others out: it lives, and its busy period has not ended. */
bool gs_bit_owner_holds(const struct gs_bit_owner *owner, uint64_t now);

/* How long a run lasts, in ns; 0: the share is entitled to none. `minimum` in basis points. */
uint64_t gs_starvation_run_ns(uint32_t minimum, uint64_t timeslice_of_high_ns);

#endif
