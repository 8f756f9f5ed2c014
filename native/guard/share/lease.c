/* SPDX-License-Identifier: Apache-2.0 */
#include "share/lease.h"

enum { END_BITS = 48 };
#define END_MASK ((1ull << END_BITS) - 1)

static uint64_t end_of(uint64_t lease)
{
    return lease & END_MASK;
}

static uint64_t holder(uint64_t lease)
{
    return lease >> END_BITS;
}

bool gs_lease_take(struct gs_gpu_page *page, int number, uint64_t now)
{
    uint64_t us = now / 1000, me = (uint64_t)number + 1,
             lease = __atomic_load_n(&page->lease, __ATOMIC_SEQ_CST);
    uint64_t ours = me << END_BITS | ((us + GS_LEASE_NS / 1000) & END_MASK);
    if (holder(lease) != me && holder(lease) != 0 && end_of(lease) > us)
        return false;
    return __atomic_compare_exchange_n(&page->lease, &lease, ours, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

void gs_lease_drop(struct gs_gpu_page *page, int number)
{
    uint64_t lease = __atomic_load_n(&page->lease, __ATOMIC_SEQ_CST);
    if (holder(lease) == (uint64_t)number + 1)
        __atomic_compare_exchange_n(&page->lease, &lease, 0, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
}
