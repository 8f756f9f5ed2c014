/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a kernel starts and ends. Processes without MPS share the GPU by turns, so each proceeds at 1/n of its
 * speed while n are busy; clients of one MPS server run side by side as long as their SMs suffice. What is
 * assigned is not revised when somebody else comes later.
 */
#include "cuda/core/sim.h"

typedef struct rival {
    uint64_t tail;
    uint32_t demand;
    bool neighbour; /* client of the same MPS server */
    bool behind;    /* of lower client priority than this process */
} rival;

static bool neighbours(const gs_slot *other)
{
    const gs_mps_client *me = gs_mps_me();
    return me && other->mps_client >= 0 && sim.image->clients[other->mps_client].server == me->server;
}

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
            rivals[count++] = (rival){other->use[device].tail, other->use[device].demand, neighbours(other),
                                      priority(other) > priority(sim.slot)};
    }
    return count;
}

/* The part of its full speed this process has at time `at`; *until: as long as that stays so. */
static double speed(const rival *rivals, int count, uint64_t at, uint32_t demand, uint32_t sms, uint64_t *until)
{
    int turns = 1;
    uint32_t wanted = demand;
    *until = UINT64_MAX;
    for (int i = 0; i < count; i++) {
        if (rivals[i].tail <= at)
            continue;
        *until = MIN(*until, rivals[i].tail);
        if (rivals[i].neighbour) /* who stands behind gets what is left: mostly out of the way */
            wanted += rivals[i].behind ? rivals[i].demand / 4 : rivals[i].demand;
        else
            turns++;
    }
    double crowd = wanted > sms ? (double)sms / wanted : 1.0;
    return crowd / turns;
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
    /* Kernels that fill the GPU follow each other whatever their stream; small ones run side by side. */
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
