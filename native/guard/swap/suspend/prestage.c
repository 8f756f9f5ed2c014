/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/suspend/prestage.h"

#include "base/clock.h"
#include "driver/quiesce.h"
#include "swap/blocks/block.h"
#include "swap/blocks/heap.h"
#include "swap/store/host_pool.h"
#include "swap/store/swap_image.h"
#include "swap/suspend/transfer.h"

#define NOTHING_TO_DO 1000000000ull /* ns until the next attempt */

enum { REST = 4 }; /* pause after registering, in multiples of its time: it blocks launches */

static uint32_t pressure_seen;
static bool lost; /* the registrations, with their context */
static uint64_t next_at;

static void relieve_pressure(const struct gs_region *region)
{
    uint32_t pressure = __atomic_load_n(&region->pressure, __ATOMIC_SEQ_CST);
    if (pressure == pressure_seen)
        return;
    pressure_seen = pressure;
    gs_heap_trim(-1);
}

/* Clears a swap image that is out of date. Its host memory is kept only for prestaging. */
static bool has_too_much(bool ahead)
{
    if (!gs_quiesce_touched() || !gs_swap_image_held())
        return false;
    if (gs_swap_image_end()) {
        gs_blocks_lock();
        gs_transfer_mark_dirty();
        gs_blocks_unlock();
    }
    return !ahead || gs_host_pool_scarce();
}

static bool some_context(CUcontext *context)
{
    gs_blocks_lock();
    const struct gs_block *block = gs_block_number(0);
    if (block)
        *context = block->context;
    gs_blocks_unlock();
    return block != NULL;
}

/* One unit of what a suspension would need. */
static void get_ready(uint64_t movable)
{
    uint64_t begun = gs_now();
    bool own = gs_host_pool_is_own();
    bool did = own ? gs_swap_image_reserve_registered() : gs_host_pool_register_ahead(movable);
    next_at = gs_now() + (did ? REST * (gs_now() - begun) : NOTHING_TO_DO);
}

static bool has_too_little(uint64_t movable)
{
    uint64_t held = gs_swap_image_held(), registered = gs_host_pool_registered();
    return movable > (held > registered ? held : registered) && gs_now() >= next_at;
}

/* Registering and unregistering need a current context. */
static void adjust(bool shrink, uint64_t movable)
{
    CUcontext context;
    if (!some_context(&context) || cuda()->cuCtxSetCurrent(context) != CUDA_SUCCESS)
        context = NULL;
    if (shrink)
        gs_swap_image_shrink(1);
    else if (context)
        get_ready(movable);
    if (context)
        cuda()->cuCtxSetCurrent(NULL);
}

void gs_prestage_publish(struct gs_region_slot *slot)
{
    uint64_t held = gs_swap_image_held(), registered = gs_host_pool_registered();
    __atomic_store_n(&slot->host, held > registered ? held : registered, __ATOMIC_RELAXED);
}

void gs_prestage_tick(struct gs_region *region, struct gs_region_slot *slot)
{
    bool ahead = __atomic_load_n(&region->flags, __ATOMIC_RELAXED) & GS_REGION_AHEAD;
    uint64_t movable = __atomic_load_n(&slot->movable, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&lost, false, __ATOMIC_SEQ_CST))
        gs_swap_image_unregistered();
    relieve_pressure(region);
    bool shrink = has_too_much(ahead);
    if (shrink || (ahead && has_too_little(movable)))
        adjust(shrink, movable);
    gs_prestage_publish(slot);
}

void gs_prestage_lost(void)
{
    __atomic_store_n(&lost, true, __ATOMIC_SEQ_CST);
}

void gs_prestage_forget(void)
{
    pressure_seen = 0;
    lost = false;
    next_at = 0;
}
