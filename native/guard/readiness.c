/* SPDX-License-Identifier: Apache-2.0 */
#include "readiness.h"

#include "block.h"
#include "board.h"
#include "halt.h"
#include "heap.h"
#include "host.h"
#include "image.h"
#include "move.h"

enum { REST = 4 }; /* times as long as registering took, as it holds up launches of other threads */

static uint32_t pressure_seen;
static bool lost; /* registrations, with their context */
static uint64_t next_at;

static void ease(const struct gs_region *region)
{
    uint32_t pressure = __atomic_load_n(&region->pressure, __ATOMIC_SEQ_CST);
    if (pressure == pressure_seen)
        return;
    pressure_seen = pressure;
    gs_heap_trim(-1);
}

/* The image is no longer what is on the GPU. Its host memory stays only where it is wanted ahead. */
static void give_back(bool ahead)
{
    if (!gs_halt_touched() || !gs_image_held())
        return;
    if (gs_image_end()) {
        gs_blocks_lock();
        gs_move_soil();
        gs_blocks_unlock();
    }
    if (!ahead || gs_host_scarce())
        gs_image_shrink(1);
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

/* A piece of what would be needed to suspend now. */
static void get_ready(uint64_t movable)
{
    uint64_t begun = gs_now();
    if (begun < next_at)
        return;
    if (!gs_host_register_ahead(movable) && gs_host_is_own() && gs_image_held() < movable)
        gs_image_reserve_registered();
    next_at = gs_now() + REST * (gs_now() - begun);
}

void gs_readiness_tell(struct gs_region_slot *slot)
{
    uint64_t held = gs_image_held(), registered = gs_host_registered();
    __atomic_store_n(&slot->host, held > registered ? held : registered, __ATOMIC_RELAXED);
}

void gs_readiness_tick(struct gs_region *region, struct gs_region_slot *slot)
{
    bool ahead = __atomic_load_n(&region->flags, __ATOMIC_RELAXED) & GS_REGION_AHEAD;
    CUcontext context;
    if (__atomic_exchange_n(&lost, false, __ATOMIC_SEQ_CST))
        gs_image_unregistered();
    ease(region);
    bool usable = some_context(&context) && cuda()->cuCtxSetCurrent(context) == CUDA_SUCCESS;
    give_back(ahead);
    if (ahead && usable)
        get_ready(__atomic_load_n(&slot->movable, __ATOMIC_RELAXED));
    if (usable)
        cuda()->cuCtxSetCurrent(NULL);
    gs_readiness_tell(slot);
}

void gs_readiness_lost(void)
{
    __atomic_store_n(&lost, true, __ATOMIC_SEQ_CST);
}

void gs_readiness_forget(void)
{
    pressure_seen = 0;
    lost = false;
    next_at = 0;
}
