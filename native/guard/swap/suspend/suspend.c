/* SPDX-License-Identifier: Apache-2.0 */
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

static uint32_t obeyed; /* the newest `suspend` that was done or refused */
static bool is_away;
static uint64_t retry_at;

static void (*announce)(bool drains); /* set before there is anything to suspend */

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

static uint32_t wish(void)
{
    return __atomic_load_n(&gs_shared_region()->suspend, __ATOMIC_SEQ_CST);
}

static bool wants_to_run(void)
{
    return !(wish() & 1);
}

static bool wants_to_leave(void)
{
    return wish() & 1;
}

static bool always(void)
{
    return true;
}

static uint64_t part(uint64_t whole, uint64_t ours, uint64_t all)
{
    return all ? (uint64_t)((unsigned __int128)whole * ours / all) : 0;
}

/* The process' part of what its share may leave on each GPU: as its part of what the share has there. */
static void share_out(struct gs_region *region, const struct gs_region_slot *slot,
                      uint64_t keep[GS_GPUS])
{
    if (!gs_region_lock(region))
        return;
    for (uint32_t gpu = 0; gpu < region->gpu_count; gpu++)
        keep[gpu] = part(region->gpu[gpu].keep, slot->charged[gpu], region->gpu[gpu].used);
    gs_region_unlock(region);
}

static bool enough_host_memory(uint64_t bytes)
{
    uint64_t room =
        gs_swap_image_held() > gs_swap_image_end() ? gs_swap_image_held() - gs_swap_image_end() : 0;
    return bytes <= room || bytes - room <= gs_host_pool_left();
}

/* While the program still runs: has host memory ready, as far as there is any or somebody is giving some back. */
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

/* Between two captures: waiting for all work would spoil one. */
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

/* Frees what nothing uses: caches are not worth moving. */
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

/* What was quiesced runs on; with what has left already back on the GPU. True when it does. */
static bool undone(void)
{
    uint64_t moved = 0;
    if (gs_transfer_in(always, &moved))
        return false;
    gs_transfer_mark_dirty();
    gs_quiesce_end();
    gs_quiesce_touch();
    return true;
}

/* What is queued may stand behind the share's next turn, and launches behind that: so there is to be one. */
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
    is_away = !failure || !undone();
    return failure;
}

static enum gs_failure try_to_leave(struct gs_region *region, struct gs_region_slot *slot,
                                    uint64_t *moved)
{
    uint64_t keep[GS_GPUS] = {0};
    share_out(region, slot, keep);
    if (is_away) /* it was on its way back */
        return gs_transfer_out(keep, moved);
    enum gs_failure failure = gs_unmovable_now() ? GS_FAILED_UNMOVABLE : GS_NO_FAILURE;
    gs_heap_trim(-1);
    if (!failure)
        failure = prepare(keep);
    return failure ? failure : quiesce_and_leave(region, keep, moved);
}

static void suspend(struct gs_region *region, struct gs_region_slot *slot, uint32_t wished)
{
    uint64_t begun = gs_now(), moved = 0;
    publish(&slot->phase, GS_LEAVES);
    enum gs_failure failure = try_to_leave(region, slot, &moved);
    obeyed = wished;
    publish_long(&slot->moved, moved);
    publish_long(&slot->out_ns, gs_now() - begun);
    publish(&slot->failure, failure);
    gs_prestage_tell(slot);
    publish(&slot->phase, is_away ? GS_AWAY : GS_RUNS);
    publish(&slot->suspend_seen, wished);
}

static void come_back(struct gs_region_slot *slot, uint32_t wished)
{
    uint64_t begun = gs_now(), moved = 0;
    publish(&slot->phase, GS_RETURNS);
    enum gs_failure failure = gs_transfer_in(wants_to_run, &moved);
    if (failure && !wants_to_run())
        return; /* and leaves again at the next look */
    publish(&slot->failure, failure);
    gs_prestage_tell(slot);
    publish_long(&slot->moved, moved);
    if (failure && !(failure == GS_FAILED_DRIVER && gs_drain(always) == GS_BROKEN)) {
        retry_at = gs_now() + RETRY;
        publish(&slot->phase, GS_AWAY);
        publish(&slot->suspend_seen, wished);
        return;
    }
    /* A context that is broken for good answers every call with its error: the program is to see that. */
    if (gs_swap_image_is_returning())
        gs_transfer_mark_dirty();
    is_away = false;
    gs_quiesce_end();
    publish_long(&slot->in_ns, gs_now() - begun);
    publish(&slot->phase, GS_RUNS);
    obeyed = wished;
    publish(&slot->suspend_seen, wished);
}

void gs_suspend_obey(struct gs_region *region, struct gs_region_slot *slot)
{
    uint32_t wished = wish();
    if (wished == obeyed)
        return;
    if (wished & 1) {
        suspend(region, slot, wished);
    } else if (is_away) {
        if (gs_now() >= retry_at)
            come_back(slot, wished);
    } else {
        publish(&slot->failure, GS_NO_FAILURE);
        obeyed = wished;
        publish(&slot->suspend_seen, wished);
    }
    cuda()->cuCtxSetCurrent(NULL);
}

void gs_suspend_forget(void)
{
    obeyed = 0;
    is_away = false;
    retry_at = 0;
    gs_swap_image_forget();
}
