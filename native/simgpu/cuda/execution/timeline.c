/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/timeline.h"

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/mps_client.h"
#include "cuda/execution/slices.h"

/* An MPS server's clients are one party. */
static int32_t party_of(const gs_slot *slot)
{
    if (slot->mps_client >= 0)
        return -1 - sim.image->clients[slot->mps_client].server;
    return 1 + (int32_t)(slot - sim.image->slots);
}

static int priority(const gs_slot *slot)
{
    return slot->mps_client >= 0 ? sim.image->clients[slot->mps_client].priority : 0;
}

static int gather(int device, uint64_t start, gs_rival *rivals)
{
    int count = 0;
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *other = &sim.image->slots[i];
        const gs_use *use = &other->use[device];
        bool lower = priority(other) > priority(sim.slot);
        if (other->pid && other != sim.slot && use->tail > start)
            rivals[count++] =
                (gs_rival){party_of(other), use->tail, lower ? use->demand / 4 : use->demand};
    }
    return count;
}

static uint64_t finish(int device, uint64_t start, uint64_t duration, uint32_t demand)
{
    gs_rival rivals[GS_MAX_SLOTS];
    gs_device *hardware = &sim.image->devices[device];
    const gs_race race = {.party = party_of(sim.slot),
                          .demand = demand,
                          .sms = hardware->sms,
                          .slice = hardware->slice_us * 1000ull,
                          .change = hardware->change_us * 1000ull,
                          .rivals = rivals,
                          .count = gather(device, start, rivals)};
    return gs_race_end(&race, &hardware->turn, start, duration);
}

static void note(int device, gs_use *use, uint64_t start, uint64_t end)
{
    int parent = sim.image->devices[device].parent;
    gs_busy_add(&use->busy, start, end);
    gs_busy_add(&sim.image->devices[device].busy, start, end);
    if (parent >= 0)
        gs_busy_add(&sim.image->devices[parent].busy, start, end);
}

uint64_t gs_timeline_kernel(CUcontext ctx, uint64_t ready, uint64_t duration, uint32_t sms)
{
    gs_image_lock(sim.image);
    gs_use *use = gs_use_of(ctx->device);
    uint32_t allowed = gs_mps_sms(gs_device_of(ctx->device)), demand = MAX(1u, MIN(sms, allowed));
    if (sms > allowed)
        duration = duration * sms / allowed;
    if (demand * 2 > allowed && use->tail > ready)
        ready = use->tail;
    uint64_t end = finish(gs_home(ctx->device), ready, duration, demand);
    use->tail = MAX(use->tail, end);
    use->demand = demand;
    note(gs_home(ctx->device), use, ready, end);
    gs_image_unlock(sim.image);
    return end;
}

uint64_t gs_copy_ns(int device, uint64_t bytes, bool over_link)
{
    const gs_device *hardware = gs_device_of(device);
    uint64_t rate = over_link ? hardware->link_bps : hardware->memory_bps / 2;
    return 2000 + (uint64_t)((double)bytes * 1e9 / (double)MAX(rate, 1));
}
