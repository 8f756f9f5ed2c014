/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/unmovable.h"

#include <pthread.h>
#include <string.h>

#include "share/attach.h"

enum { KINDS = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t held[KINDS];

static void change(uint32_t kind, uint64_t by)
{
    if (!kind || !gs_active())
        return;
    pthread_mutex_lock(&lock);
    uint64_t *count = &held[__builtin_ctz(kind)];
    bool same = (*count == 0) == (*count + by == 0);
    *count += by;
    pthread_mutex_unlock(&lock);
    if (!same)
        gs_unmovable_now();
}

void gs_unmovable_add(uint32_t kind)
{
    change(kind, 1);
}

void gs_unmovable_drop(uint32_t kind)
{
    change(kind, UINT64_MAX);
}

uint32_t gs_unmovable_now(void)
{
    uint32_t bits = 0;
    struct gs_region_slot *slot = gs_shared_slot();
    pthread_mutex_lock(&lock);
    for (int kind = 0; kind < KINDS; kind++)
        bits |= held[kind] ? 1u << kind : 0;
    if (slot)
        __atomic_store_n(&slot->unmovable, bits, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return bits;
}

void gs_unmovable_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    memset(held, 0, sizeof held);
}
