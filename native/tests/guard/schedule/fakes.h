/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scheduling of the guard runs on in these tests: a clock that stands still until a test
 * moves it, a GPU page in memory, threads that are only counted, and a driver whose streams and
 * events a test controls.
 */
#ifndef GS_TEST_FAKES_H
#define GS_TEST_FAKES_H

#include "../check.h"
#include "schedule/process/attachment.h"

#define US 1000ull
#define MS 1000000ull
#define STREAM(number) ((CUstream)(uintptr_t)(0x1000 * ((number) + 1)))

/*
 * ns. `fake_on_clock` runs at the end of each look at the clock, which is a moment for others to
 * act.
 */
extern uint64_t fake_now;
extern void (*fake_on_clock)(void);
extern uint64_t fake_napped;
extern void (*fake_on_nap)(void);

/* The page. `fake_on_open` runs before the gate of a share slot opens. */
extern struct gs_gpu_page fake_page;
extern void (*fake_on_open)(struct gs_share_slot *slot);
extern int fake_wakes, fake_hurries;
extern uint32_t fake_timeslice_us; /* as asked of the driver last */

/* The driver. Events are done at `fake_work_ends`, which holds for those recorded from then on. */
extern CUresult fake_stream_state, fake_fence_result;
extern void (*fake_on_query)(void);
extern uint64_t fake_work_ends;
extern int fake_fences, fake_records;
extern CUstreamCaptureStatus fake_capture;
extern CUcontext fake_context;

/* The page empty, the clock at ten seconds, everything idle. */
void fake_reset(void);

/* A share in the slot, with no limit. */
struct gs_share_slot *fake_share(int slot, enum gs_rank rank);

/* A process of it, attached. */
struct gs_attachment *fake_process(int number, int slot);

/* The attachment of the calling thread; the newest process is it. */
void fake_is_here(struct gs_attachment *attachment);

#endif
