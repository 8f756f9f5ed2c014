/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/growth.h"

#include "charge/charge.h"

/* Drivers were seen to grow pools by 32 MiB; a finer step is learned from the first growth. */
#define COARSE (32ull << 20)
#define FINE (64ull << 10)

struct gs_account gs_account_new(int gpu)
{
    return (struct gs_account){.lock = PTHREAD_MUTEX_INITIALIZER, .gpu = gpu, .grain = COARSE};
}

uint64_t gs_account_growth(const struct gs_account *account, uint64_t bytes, uint64_t used)
{
    uint64_t spare = account->charged > used ? account->charged - used : 0;
    if (bytes <= spare)
        return 0;
    uint64_t missing = bytes - spare, over = missing % account->grain;
    return over && missing <= UINT64_MAX - account->grain ? missing - over + account->grain : missing;
}

static void learn(struct gs_account *account, uint64_t grown)
{
    uint64_t step = grown & -grown;
    if (step >= FINE && step < account->grain)
        account->grain = step;
}

bool gs_account_settle(struct gs_account *account, uint64_t reserved, uint64_t claimed)
{
    uint64_t have = account->charged + claimed;
    if (reserved > account->charged)
        learn(account, reserved - account->charged);
    if (reserved > have && !gs_take(GS_EXACT, account->gpu, reserved - have))
        return false;
    if (reserved < have)
        gs_give(GS_EXACT, account->gpu, have - reserved);
    account->charged = reserved;
    return true;
}

void gs_account_force(struct gs_account *account, uint64_t reserved, uint64_t claimed)
{
    if (gs_account_settle(account, reserved, claimed))
        return;
    gs_force(account->gpu, reserved - account->charged - claimed);
    account->charged = reserved;
}
