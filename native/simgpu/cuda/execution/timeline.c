/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/timeline.h"

#include "cuda/core/context.h"
#include "cuda/core/device.h"
#include "cuda/core/mps_client.h"

typedef struct rival {
    uint64_t tail;
    uint32_t demand;
    bool neighbor; /* client of the same MPS server */
    bool lower;    /* of lower client priority than this process */
} rival;

static int priority(const gs_slot *slot)
{
    return slot->mps_client >= 0 ? sim.image->clients[slot->mps_client].priority : 0;
}

static int gather(int device, uint64_t start, rival *rivals)
{
    int count = 0;
    for (int i = 0; i < GS_MAX_SLOTS; i++) {
        const gs_slot *other = &sim.image->slots[i];
        if (other->pid && other != sim.slot && other->use[device].tail > start)
            rivals[count++] = (rival){other->use[device].tail, other->use[device].demand,
                                      gs_mps_neighbor(other), priority(other) > priority(sim.slot)};
    }
    return count;
}

/*
 * The fraction of its full speed that this process has at time `at`; *until is when it may change.
 */
static double speed(const rival *rivals, int count, uint64_t at, uint32_t demand, uint32_t sms,
                    uint64_t *until)
{
    int sharers = 1;
    uint32_t total = demand;
    *until = UINT64_MAX;
    for (int i = 0; i < count; i++) {
        if (rivals[i].tail <= at)
            continue;
        *until = MIN(*until, rivals[i].tail);
        if (rivals[i].neighbor)
            total += rivals[i].lower ? rivals[i].demand / 4 : rivals[i].demand;
        else
            sharers++;
    }
    double crowding = total > sms ? (double)sms / total : 1.0;
    return crowding / sharers;
}

static uint64_t finish(int device, uint64_t start, uint64_t duration, uint32_t demand)
{
    rival rivals[GS_MAX_SLOTS];
    int count = gather(device, start, rivals);
    double left = (double)duration;
    for (;;) {
        uint64_t until;
        double rate = speed(rivals, count, start, demand, sim.image->devices[device].sms, &until);
        if (until == UINT64_MAX || (double)(until - start) * rate >= left)
            return start + (uint64_t)(left / rate);
        left -= (double)(until - start) * rate;
        start = until;
    }
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
