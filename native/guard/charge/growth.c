/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/growth.h"

#include "charge/charge.h"

/* Driver 580 grows pools by 32 MiB; a finer step is learned from the first growth. */
#define COARSE (32ull << 20)
#define FINE (64ull << 10)

struct gs_growth gs_growth_new(int gpu)
{
    return (struct gs_growth){.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                              .gpu = gpu,
                              .grain = COARSE};
}

uint64_t gs_growth_estimate(const struct gs_growth *growth, uint64_t bytes, uint64_t used)
{
    uint64_t spare = growth->charged > used ? growth->charged - used : 0;
    if (bytes <= spare)
        return 0;
    uint64_t missing = bytes - spare, over = missing % growth->grain;
    return over && missing <= UINT64_MAX - growth->grain ? missing - over + growth->grain : missing;
}

static void learn(struct gs_growth *growth, uint64_t grown)
{
    uint64_t step = grown & -grown;
    if (step >= FINE && step < growth->grain)
        growth->grain = step;
}

bool gs_growth_settle(struct gs_growth *growth, uint64_t reserved, uint64_t claimed)
{
    uint64_t have = growth->charged + claimed;
    if (reserved > growth->charged)
        learn(growth, reserved - growth->charged);
    if (reserved > have && !gs_charge(GS_EXACT, growth->gpu, reserved - have))
        return false;
    if (reserved < have)
        gs_uncharge(GS_EXACT, growth->gpu, have - reserved);
    growth->charged = reserved;
    return true;
}

void gs_growth_settle_forced(struct gs_growth *growth, uint64_t reserved, uint64_t claimed)
{
    if (gs_growth_settle(growth, reserved, claimed))
        return;
    gs_charge_forced(growth->gpu, reserved - growth->charged - claimed);
    growth->charged = reserved;
}
