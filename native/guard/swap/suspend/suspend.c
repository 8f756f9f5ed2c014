/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspending and resuming this process.
 *
 * Model. `suspend` in the region is the order: odd is suspend, even is run, and every change is a
 * new order. A process runs, leaves, is away, or returns (enum gs_phase). To leave: take host
 * memory while the program still runs; quiesce, between two captures; wait until the GPU has
 * finished; free caches; copy chunks into the swap image and free them. To return: allocate chunks,
 * waiting for room on the GPU, copy back, and end quiescing. A program notices nothing but the
 * time.
 *
 * Invariants:
 * 1. Every order is answered by `suspend_seen`, done or refused, with the reason in `failure`.
 * 2. While the process is away it stays quiesced, so no thread can use memory that is not there.
 * 3. A chunk is freed only after its copy has succeeded; after a failure, what had left is copied
 *    back. If that fails too, the process stays away and nothing is lost.
 * 4. An order that is withdrawn ends every wait: for threads, for the GPU, for captures, for
 *    memory.
 * 5. What the swap image holds is trusted only until a thread has entered the driver
 *    (gs_quiesce_touched()).
 *
 * Threads: the suspend thread. Limits: unmovable memory is a refusal.
 */
#include "swap/suspend/suspend.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/capture_state.h"
#include "driver/quiesce.h"
#include "share/attach.h"
#include "swap/blocks/block.h"
#include "swap/blocks/heap.h"
#include "swap/store/host_pool.h"
#include "swap/store/swap_image.h"
#include "swap/suspend/drain.h"
#include "swap/suspend/prestage.h"
#include "swap/suspend/transfer.h"

#define RETRY 1000000000ull          /* ns */
#define CAPTURE_PATIENCE 5000000000ull
#define HOST_PATIENCE 1000000000ull

enum { PAUSE_US = 1000 };

static uint32_t answered; /* the newest order that was done or refused */
static bool is_away;
static uint64_t retry_at;

static void (*announce)(bool drains); /* set at the start */

void gs_suspend_announces(void (*to)(bool drains))
{
    announce = to;
}

static void publish(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void publish_long(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint32_t current_order(void)
{
    return __atomic_load_n(&gs_shared_region()->suspend, __ATOMIC_SEQ_CST);
}

static bool wants_to_run(void)
{
    return !(current_order() & 1);
}

static bool wants_to_leave(void)
{
    return current_order() & 1;
}

static bool always(void)
{
    return true;
}

static uint64_t part(uint64_t whole, uint64_t ours, uint64_t all)
{
    return all ? (uint64_t)((unsigned __int128)whole * ours / all) : 0;
}

/* What this process may keep on each GPU: its part of `keep`, in proportion to what it uses. */
static void divide_keep(const struct gs_region *region, const struct gs_region_slot *slot,
                        uint64_t keep[GS_GPUS])
{
    for (uint32_t gpu = 0; gpu < region->gpu_count; gpu++)
        keep[gpu] =
            part(region->gpu[gpu].keep, __atomic_load_n(&slot->charged[gpu], __ATOMIC_RELAXED),
                 gs_region_used(region, (int)gpu));
}

static bool enough_host_memory(uint64_t bytes)
{
    uint64_t room =
        gs_swap_image_held() > gs_swap_image_end() ? gs_swap_image_held() - gs_swap_image_end() : 0;
    return bytes <= room || bytes - room <= gs_host_pool_left();
}

/* Takes host memory while the program still runs; more may come from processes that return. */
static enum gs_failure prepare(const uint64_t keep[GS_GPUS])
{
    gs_blocks_lock();
    if (gs_quiesce_touched())
        gs_transfer_mark_dirty();
    uint64_t bytes = gs_transfer_size(keep), until = gs_now() + HOST_PATIENCE;
    gs_blocks_unlock();
    while (!enough_host_memory(bytes) && !gs_host_pool_someone_returns()) {
        if (bytes > gs_host_pool_most() || gs_now() > until)
            return GS_FAILED_HOST_MEMORY;
        usleep(PAUSE_US);
    }
    gs_swap_image_reserve(bytes);
    return GS_NO_FAILURE;
}

/* Between two captures, because waiting for all work would invalidate one. */
static enum gs_failure quiesce(void)
{
    uint64_t until = gs_now() + CAPTURE_PATIENCE;
    for (;;) {
        while (gs_capturing() && gs_now() < until)
            usleep(PAUSE_US);
        bool was_touched = gs_quiesce_touched();
        if (!gs_quiesce(wants_to_leave))
            return GS_FAILED_DRIVER;
        if (!gs_capturing())
            return GS_NO_FAILURE;
        gs_quiesce_end();
        if (was_touched)
            gs_quiesce_touch();
        if (gs_now() >= until)
            return GS_FAILED_DRIVER;
    }
}

/* Frees caches instead of moving them. */
static void trim(const struct gs_region *region)
{
    for (uint32_t gpu = 0; gpu < region->gpu_count; gpu++)
        gs_reclaim((int)gpu);
}

static enum gs_failure leave(const struct gs_region *region, const uint64_t keep[GS_GPUS],
                             uint64_t *moved)
{
    if (gs_unmovable_now())
        return GS_FAILED_UNMOVABLE;
    trim(region);
    if (gs_quiesce_touched())
        gs_transfer_mark_dirty();
    return gs_transfer_out(keep, moved);
}

/* Copies back what has left and lets the program run on; false when that fails. Invariant 3. */
static bool roll_back(void)
{
    uint64_t moved = 0;
    if (gs_transfer_in(always, &moved))
        return false;
    gs_transfer_mark_dirty();
    gs_quiesce_end();
    gs_quiesce_touch();
    return true;
}

/* Announced, because queued work may wait for the share's next turn, which has to come first. */
static enum gs_failure quiesce_and_leave(const struct gs_region *region,
                                         const uint64_t keep[GS_GPUS], uint64_t *moved)
{
    announce(true);
    enum gs_failure failure = quiesce();
    enum gs_drained drained = failure ? GS_GAVE_UP : gs_drain(wants_to_leave);
    announce(false);
    if (drained == GS_GAVE_UP)
        return GS_FAILED_DRIVER;
    failure = drained == GS_BROKEN ? GS_FAILED_DRIVER : leave(region, keep, moved);
    is_away = !failure || !roll_back();
    return failure;
}

static enum gs_failure try_to_leave(struct gs_region *region, struct gs_region_slot *slot,
                                    uint64_t *moved)
{
    uint64_t keep[GS_GPUS] = {0};
    divide_keep(region, slot, keep);
    if (is_away) /* it was returning */
        return gs_transfer_out(keep, moved);
    enum gs_failure failure = gs_unmovable_now() ? GS_FAILED_UNMOVABLE : GS_NO_FAILURE;
    gs_heap_trim(-1);
    if (!failure)
        failure = prepare(keep);
    return failure ? failure : quiesce_and_leave(region, keep, moved);
}

static void suspend(struct gs_region *region, struct gs_region_slot *slot, uint32_t order)
{
    uint64_t begun = gs_now(), moved = 0;
    publish(&slot->phase, GS_LEAVES);
    enum gs_failure failure = try_to_leave(region, slot, &moved);
    answered = order;
    publish_long(&slot->moved, moved);
    publish_long(&slot->out_ns, gs_now() - begun);
    publish(&slot->failure, failure);
    gs_prestage_publish(slot);
    publish(&slot->phase, is_away ? GS_AWAY : GS_RUNS);
    publish(&slot->suspend_seen, order);
}

static void come_back(struct gs_region_slot *slot, uint32_t order)
{
    uint64_t begun = gs_now(), moved = 0;
    publish(&slot->phase, GS_RETURNS);
    enum gs_failure failure = gs_transfer_in(wants_to_run, &moved);
    if (failure && !wants_to_run())
        return; /* the next order is to leave again */
    publish(&slot->failure, failure);
    gs_prestage_publish(slot);
    publish_long(&slot->moved, moved);
    if (failure && !(failure == GS_FAILED_DRIVER && gs_drain(always) == GS_BROKEN)) {
        retry_at = gs_now() + RETRY;
        publish(&slot->phase, GS_AWAY);
        publish(&slot->suspend_seen, order);
        return;
    }
    /* A broken context returns its error from every call; the program runs on and gets it. */
    if (gs_swap_image_is_returning())
        gs_transfer_mark_dirty();
    is_away = false;
    gs_quiesce_end();
    publish_long(&slot->in_ns, gs_now() - begun);
    publish(&slot->phase, GS_RUNS);
    answered = order;
    publish(&slot->suspend_seen, order);
}

void gs_suspend_obey(struct gs_region *region, struct gs_region_slot *slot)
{
    uint32_t order = current_order();
    if (order == answered)
        return;
    if (order & 1) {
        suspend(region, slot, order);
    } else if (is_away) {
        if (gs_now() >= retry_at)
            come_back(slot, order);
    } else {
        publish(&slot->failure, GS_NO_FAILURE);
        answered = order;
        publish(&slot->suspend_seen, order);
    }
    cuda()->cuCtxSetCurrent(NULL);
}

void gs_suspend_forget(void)
{
    answered = 0;
    is_away = false;
    retry_at = 0;
    gs_swap_image_forget();
}
