/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the allocation hooks share: recording a charge in the ledger, and releasing it.
 * Owner: the hooks of hooks/memory. Threads: any; the ledger locks.
 * Limits: for memory charged in blocks or from a pool; physical memory is in vmm.c, graphs in
 * graph_memory.c.
 */
#ifndef GS_ALLOC_H
#define GS_ALLOC_H

#include "charge/ledger.h"
#include "hooks/setup/context.h"

/* Records an allocation that is charged; why it is unmovable follows from its space. */
void gs_keep(const struct gs_place *place, enum gs_space space, uint64_t key, uint64_t bytes);

/* The same with a reason of its own. */
void gs_keep_unmovable(const struct gs_place *place, enum gs_space space, uint64_t key,
                       uint64_t bytes, uint32_t unmovable);

/*
 * After the driver's call: records what it allocated, or uncharges it. Returns the result of the
 * call.
 */
CUresult gs_record(CUresult result, const struct gs_place *place, enum gs_space space, uint64_t key,
                   uint64_t bytes);

/* Uncharges a pointer or array that was freed. */
void gs_release(const struct gs_entry *entry);

/* a * b, or UINT64_MAX on overflow. */
static inline uint64_t gs_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Removed before the call: directly after it another thread may get the same address. */
#define GS_FREEING(space, key, call)                        \
    do {                                                    \
        struct gs_entry entry, old;                         \
        bool recorded = gs_ledger_take(space, key, &entry); \
        CUresult result = call;                             \
        if (recorded && result == CUDA_SUCCESS)             \
            gs_release(&entry);                             \
        else if (recorded)                                  \
            gs_ledger_put(&entry, &old);                    \
        return result;                                      \
    } while (0)

#endif
